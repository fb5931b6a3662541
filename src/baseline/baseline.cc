#include "baseline/baseline.h"

#include <algorithm>
#include <set>
#include <utility>

#include "baseline/selection.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "snapshot/policy.h"
#include "wire/codec.h"

namespace vmattest::baseline {
namespace {

using PagesRegion = evidence::SnapshotPages::Region;

absl::Status NotItsPages(std::string_view what) {
  return absl::InvalidArgumentError(
      fmt::format("pages: {} is not the snapshot's", what));
}

PagesRegion* Find(evidence::SnapshotPages& pages, const std::string& name) {
  const auto found =
      std::find_if(pages.regions.begin(), pages.regions.end(),
                   [&](const PagesRegion& one) { return one.name == name; });
  return found == pages.regions.end() ? nullptr : &*found;
}

absl::Status CheckRegion(const Baseline& baseline, const Region& region,
                         const PagesRegion& pages) {
  const size_t size = DigestSize(baseline.algorithm);
  if (pages.digests.size() % size != 0 ||
      pages.digests.size() / size != region.pages ||
      SelectionOf(baseline.algorithm, pages.ranges) != region.selection) {
    return NotItsPages(fmt::format("region '{}'", region.name));
  }
  for (const evidence::SnapshotPages::Part& part : pages.parts) {
    if (part.first_page > region.pages ||
        part.pages > region.pages - part.first_page) {
      return NotItsPages(fmt::format("part '{}'", part.name));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string Baseline::id() const {
  return fmt::format("{}@{}", name, revision);
}

std::string Baseline::subset() const {
  return snapshot::SubsetId(policy_id, policy_version);
}

absl::StatusOr<Baseline> FromSnapshot(const evidence::StateStatement& statement,
                                      ByteView pages,
                                      const std::vector<std::string>& without) {
  Baseline baseline;
  baseline.policy_id = statement.policy_id;
  baseline.policy_version = statement.policy_version;
  baseline.policy_digest = statement.policy_digest;
  baseline.algorithm = statement.algorithm;
  baseline.page_bytes = statement.page_bytes;
  std::set<std::string> left_out(without.begin(), without.end());
  for (const evidence::RegionState& region : statement.regions) {
    if (left_out.erase(region.name) == 0 && region.unavailable.empty() &&
        region.pages > 0) {
      baseline.regions.push_back({region.name, region.severity, region.pages,
                                  region.selection, region.root});
    }
  }
  if (!left_out.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("the snapshot has no region '{}'", *left_out.begin()));
  }
  baseline.pages_digest = Hash(HashAlgorithm::kSha256, pages);
  baseline.records_root = statement.records_root;
  baseline.record_count = statement.record_count;
  baseline.code_hash = statement.code_hash;
  baseline.kernel_release = statement.kernel_release;
  baseline.kernel_build_id = statement.kernel_build_id;
  baseline.run = statement.run;
  baseline.boot = statement.boot;
  baseline.source = {statement.header.vm_uuid, statement.header.host_id,
                     statement.header.time_unix_ms, statement.root};
  RETURN_IF_ERROR(LoadedBaseline::Load(baseline, pages).status());
  return baseline;
}

absl::Status LoadedBaseline::Add(const Region& region, PagesRegion& pages) {
  RETURN_IF_ERROR(CheckRegion(baseline_, region, pages));
  memory_ +=
      2 * pages.digests.size() + pages.parts.size() * sizeof(pages.parts[0]);
  for (const evidence::SnapshotPages::Part& part : pages.parts) {
    for (const auto& symbol : part.symbols) {
      memory_ += sizeof(symbol) + symbol.name.size();
    }
  }
  trees_.emplace_back(baseline_.algorithm, std::move(pages.digests));
  pages.digests.clear();
  if (trees_.back().Root() != region.root) {
    return NotItsPages(fmt::format("region '{}'", region.name));
  }
  regions_.push_back(std::move(pages));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const LoadedBaseline>> LoadedBaseline::Load(
    Baseline baseline, ByteView pages) {
  if (pages.size() > kMaxPages ||
      Hash(HashAlgorithm::kSha256, pages) != baseline.pages_digest) {
    return NotItsPages("the file");
  }
  ASSIGN_OR_RETURN(evidence::SnapshotPages parsed,
                   wire::ParseSnapshotPages(pages));
  std::shared_ptr<LoadedBaseline> loaded(new LoadedBaseline());
  loaded->baseline_ = std::move(baseline);
  loaded->trees_.reserve(loaded->baseline_.regions.size());
  for (const Region& region : loaded->baseline_.regions) {
    PagesRegion* found = Find(parsed, region.name);
    if (found == nullptr) {
      return NotItsPages(fmt::format("region '{}'", region.name));
    }
    RETURN_IF_ERROR(loaded->Add(region, *found));
  }
  const Baseline& of = loaded->baseline_;
  const bool ordered = std::is_sorted(
      parsed.records.begin(), parsed.records.end(),
      [](const auto& a, const auto& b) { return a.name < b.name; });
  if (!ordered || parsed.records.size() != of.record_count ||
      evidence::RecordsRoot(of.algorithm, parsed.records) != of.records_root) {
    return NotItsPages("the records");
  }
  loaded->records_ = std::move(parsed.records);
  for (const evidence::StateRecord& record : loaded->records_) {
    loaded->memory_ += sizeof(record) + record.name.size() + record.text.size();
  }
  return loaded;
}

}  // namespace vmattest::baseline
