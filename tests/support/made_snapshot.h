#ifndef VMATTEST_TESTS_SUPPORT_MADE_SNAPSHOT_H_
#define VMATTEST_TESTS_SUPPORT_MADE_SNAPSHOT_H_

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "baseline/baseline.h"
#include "baseline/delta.h"
#include "baseline/selection.h"
#include "crypto/digest.h"
#include "snapshot/page_tree.h"
#include "wire/codec.h"

namespace vmattest::baseline {

// A snapshot of made pages, whose statement follows from them with Seal().
class MadeSnapshot {
 public:
  static constexpr HashAlgorithm kAlgorithm = HashAlgorithm::kSha256;
  static constexpr size_t kSize = 32;

  MadeSnapshot() {
    statement.header.vm_uuid = "00000000-0000-4000-8000-000000000001";
    statement.header.host_id = "aa";
    statement.page_bytes = 4096;
    statement.policy_id = "made";
    statement.policy_version = 1;
    statement.policy_digest = DigestBytes(kSize, 1);
  }

  // `count` pages from `address`, each with a digest of its own.
  evidence::SnapshotPages::Region& AddRegion(const std::string& name,
                                             uint64_t count,
                                             uint64_t address = 0x100000,
                                             std::string severity = "high") {
    evidence::SnapshotPages::Region region;
    region.name = name;
    region.ranges = {{address, address + count * 4096}};
    for (uint64_t i = 0; i < count; ++i) {
      const DigestBytes digest = DigestOf(i);
      region.digests.insert(region.digests.end(), digest.begin(), digest.end());
    }
    pages.regions.push_back(std::move(region));
    severities.push_back(std::move(severity));
    return pages.regions.back();
  }
  void ChangePage(size_t region, uint64_t page, uint64_t value = ~0ULL) {
    const DigestBytes digest = DigestOf(value);
    std::copy(digest.begin(), digest.end(),
              pages.regions[region].digests.begin() +
                  static_cast<ptrdiff_t>(page * kSize));
  }
  static DigestBytes DigestOf(uint64_t value) {
    ByteWriter writer;
    writer.U64(value);
    return Hash(kAlgorithm, writer.bytes());
  }

  void Seal() {
    statement.regions.clear();
    for (size_t i = 0; i < pages.regions.size(); ++i) {
      const auto& region = pages.regions[i];
      statement.regions.push_back(
          {.name = region.name,
           .severity = severities[i],
           .pages = region.digests.size() / kSize,
           .selection = SelectionOf(kAlgorithm, region.ranges),
           .root = snapshot::PageTreeRoot(kAlgorithm, region.digests)});
    }
    std::sort(pages.records.begin(), pages.records.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    statement.records_root = evidence::RecordsRoot(kAlgorithm, pages.records);
    statement.record_count = pages.records.size();
    statement.root = evidence::StateRoot(kAlgorithm, statement.regions);
  }

  // As an approver would have signed it.
  [[nodiscard]] Baseline ToBaseline() const {
    Baseline baseline =
        FromSnapshot(statement, wire::EncodeSnapshotPages(pages), {}).value();
    baseline.name = "web";
    baseline.revision = 3;
    baseline.vm_uuids = {statement.header.vm_uuid};
    baseline.header = {1, 1, 2'000'000'000'000, {"ecdsa-p256"}};
    return baseline;
  }
  [[nodiscard]] std::shared_ptr<const LoadedBaseline> Load() const {
    return LoadedBaseline::Load(ToBaseline(), wire::EncodeSnapshotPages(pages))
        .value();
  }

  evidence::StateStatement statement;
  evidence::SnapshotPages pages;
  std::vector<std::string> severities;
};

// A baseline that is here, counting what is moved.
class LocalNodes final : public NodeSource {
 public:
  explicit LocalNodes(const LoadedBaseline& baseline) : baseline_(baseline) {}
  absl::StatusOr<Bytes> Nodes(const std::string& region,
                              const std::vector<NodeRange>& ranges,
                              uint32_t prefix) override {
    auto nodes = ReadNodes(baseline_, region, ranges, prefix);
    if (nodes.ok()) {
      bytes += nodes->size() + ranges.size() * sizeof(NodeRange);
      ++calls;
    }
    return nodes;
  }
  absl::StatusOr<std::vector<evidence::StateRecord>> Records() override {
    return baseline_.records();
  }
  size_t bytes = 0;
  size_t calls = 0;

 private:
  const LoadedBaseline& baseline_;
};

inline Delta DeltaOf(const LoadedBaseline& baseline, const MadeSnapshot& now,
                     uint32_t prefix = kShortPrefix) {
  LocalNodes nodes(baseline);
  return MakeDelta(baseline.baseline(), now.statement, now.pages, nodes, prefix)
      .value();
}

}  // namespace vmattest::baseline

#endif  // VMATTEST_TESTS_SUPPORT_MADE_SNAPSHOT_H_
