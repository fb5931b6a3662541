#include <algorithm>
#include <span>
#include <utility>

#include "baseline/delta.h"
#include "baseline/selection.h"
#include "fmt/format.h"

// The host's half: walking.

namespace vmattest::baseline {
namespace {

using evidence::StateRecord;
using PagesRegion = evidence::SnapshotPages::Region;

// Levels that one call goes down: 16 children of each node that differs.
constexpr uint32_t kStep = 4;

class Walk {
 public:
  Walk(const std::string& region, const DigestTree& own, NodeSource& source,
       size_t digest_size, uint32_t prefix)
      : region_(region),
        own_(own),
        source_(source),
        prefix_(prefix),
        size_(prefix == 0 ? digest_size : prefix) {}

  // Pages that differ, ascending.
  absl::StatusOr<std::vector<uint64_t>> Run() {
    std::vector<uint64_t> nodes = {0};
    uint32_t level = own_.top();
    while (level > 0 && !nodes.empty()) {
      const uint32_t below =
          level == 1 ? 0
                     : std::max<uint32_t>(1, level - std::min(level, kStep));
      ASSIGN_OR_RETURN(nodes, Descend(nodes, level, below));
      level = below;
    }
    return nodes;
  }

 private:
  // The nodes of `below` that differ, under those of `level`.
  absl::StatusOr<std::vector<uint64_t>> Descend(
      const std::vector<uint64_t>& nodes, uint32_t level, uint32_t below) {
    const uint64_t fan =
        below == 0 ? DigestTree::Fan(1) : uint64_t{1} << (level - below);
    std::vector<NodeRange> ranges;
    std::vector<uint64_t> differ;
    uint64_t count = 0;
    for (const uint64_t node : nodes) {
      const uint64_t first = node * fan;
      const uint64_t end = std::min(first + fan, own_.nodes(below));
      if (!ranges.empty() &&
          ranges.back().first + ranges.back().count == first) {
        ranges.back().count += end - first;
      } else {
        ranges.push_back({below, first, end - first});
      }
      count += end - first;
      if (count + fan > kMaxNodes) {
        RETURN_IF_ERROR(Compare(std::exchange(ranges, {}), differ));
        count = 0;
      }
    }
    if (!ranges.empty()) {
      RETURN_IF_ERROR(Compare(ranges, differ));
    }
    return differ;
  }

  absl::Status Compare(const std::vector<NodeRange>& ranges,
                       std::vector<uint64_t>& differ) {
    ASSIGN_OR_RETURN(const Bytes theirs,
                     source_.Nodes(region_, ranges, prefix_));
    uint64_t count = 0;
    for (const NodeRange& range : ranges) {
      count += range.count;
    }
    if (theirs.size() != count * size_) {
      return absl::InternalError(
          fmt::format("{} bytes of baseline nodes, {} were asked for",
                      theirs.size(), count * size_));
    }
    ByteView rest(theirs);
    for (const NodeRange& range : ranges) {
      for (uint64_t i = range.first; i < range.first + range.count; ++i) {
        const ByteView mine = own_.Node(range.level, i).first(size_);
        if (!std::equal(mine.begin(), mine.end(), rest.begin())) {
          differ.push_back(i);
        }
        rest = rest.subspan(size_);
      }
    }
    return absl::OkStatus();
  }

  const std::string& region_;
  const DigestTree& own_;
  NodeSource& source_;
  const uint32_t prefix_;
  const size_t size_;
};

std::vector<PageRun> ToRuns(const std::vector<uint64_t>& pages,
                            const DigestTree& own) {
  std::vector<PageRun> runs;
  for (size_t i = 0; i < pages.size(); ++i) {
    if (i == 0 || pages[i] != pages[i - 1] + 1) {
      runs.push_back({pages[i], {}});
    }
    const ByteView digest = own.Node(0, pages[i]);
    runs.back().digests.insert(runs.back().digests.end(), digest.begin(),
                               digest.end());
  }
  return runs;
}

absl::StatusOr<std::optional<RegionDelta>> RegionDeltaOf(
    const Baseline& baseline, const Region& region, const PagesRegion& pages,
    NodeSource& source, uint32_t prefix) {
  const size_t size = DigestSize(baseline.algorithm);
  const DigestTree own(baseline.algorithm, pages.digests);
  const bool same_place =
      own.pages() == region.pages &&
      SelectionOf(baseline.algorithm, pages.ranges) == region.selection;
  if (!same_place) {
    return RegionDelta{
        region.name, {{0, pages.digests}}, true, pages.ranges, pages.parts};
  }
  if (own.Root() == region.root) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(const std::vector<uint64_t> differ,
                   Walk(region.name, own, source, size, prefix).Run());
  return RegionDelta{region.name, ToRuns(differ, own), false, {}, {}};
}

std::vector<RecordDelta> RecordDeltas(const std::vector<StateRecord>& before,
                                      const std::vector<StateRecord>& after) {
  std::vector<RecordDelta> deltas;
  auto old = before.begin();
  for (const StateRecord& record : after) {
    for (; old != before.end() && old->name < record.name; ++old) {
      deltas.push_back({{old->name, ""}, true});
    }
    const bool known = old != before.end() && old->name == record.name;
    if (!known || old->text != record.text) {
      deltas.push_back({record, false});
    }
    if (known) {
      ++old;
    }
  }
  for (; old != before.end(); ++old) {
    deltas.push_back({{old->name, ""}, true});
  }
  return deltas;
}

}  // namespace

bool IsSameRun(const Baseline& baseline,
               const evidence::StateStatement& statement) {
  return baseline.run.empty() || statement.run.empty() ||
         (baseline.run == statement.run &&
          baseline.source.host_id == statement.header.host_id &&
          baseline.source.vm_uuid == statement.header.vm_uuid);
}

absl::StatusOr<Delta> MakeDelta(const Baseline& baseline,
                                const evidence::StateStatement& statement,
                                const evidence::SnapshotPages& pages,
                                NodeSource& source, uint32_t prefix) {
  Delta delta;
  const bool same_run = IsSameRun(baseline, statement);
  for (const Region& region : baseline.regions) {
    const auto found =
        std::find_if(pages.regions.begin(), pages.regions.end(),
                     [&](const auto& one) { return one.name == region.name; });
    if (!same_run || found == pages.regions.end()) {
      continue;  // not compared, or the statement says why it is not there
    }
    ASSIGN_OR_RETURN(std::optional<RegionDelta> change,
                     RegionDeltaOf(baseline, region, *found, source, prefix));
    if (change) {
      delta.regions.push_back(*std::move(change));
    }
  }
  if (!baseline.records_root.empty() && !pages.records.empty() &&
      evidence::RecordsRoot(baseline.algorithm, pages.records) !=
          baseline.records_root) {
    ASSIGN_OR_RETURN(const std::vector<StateRecord> before, source.Records());
    delta.records = RecordDeltas(before, pages.records);
  }
  return delta;
}

}  // namespace vmattest::baseline
