#include <algorithm>
#include <utility>

#include "baseline/delta.h"
#include "baseline/reason_codes.h"
#include "baseline/selection.h"
#include "fmt/format.h"
#include "snapshot/page_tree.h"

// The verifier's half: proving. Everything in a delta is hostile.

namespace vmattest::baseline {
namespace {

using evidence::StateRecord;

Reason Unproved(std::string element, std::string expected, std::string found) {
  return {std::string(reason::kDeltaUnproved), std::move(element),
          std::move(expected), std::move(found)};
}

std::string NameOf(const Region& region) {
  return fmt::format("regions '{}'", region.name);
}

// Runs that are ascending, disjoint, of whole digests, within `pages`.
bool AreRuns(const std::vector<PageRun>& runs, size_t size, uint64_t pages) {
  uint64_t next = 0;
  for (const PageRun& run : runs) {
    const uint64_t count = run.digests.size() / size;
    if (run.digests.empty() || run.digests.size() % size != 0 ||
        run.first < next || run.first > pages || count > pages - run.first) {
      return false;
    }
    next = run.first + count;
  }
  return true;
}

std::optional<Reason> ApplyInPlace(const LoadedBaseline& baseline, size_t index,
                                   const evidence::RegionState& state,
                                   const RegionDelta* delta,
                                   RegionChange& change) {
  const Region& region = baseline.baseline().regions[index];
  const DigestTree& tree = baseline.tree(index);
  const size_t size = DigestSize(baseline.baseline().algorithm);
  DigestTree::Changes changes;
  if (delta != nullptr) {
    if (!AreRuns(delta->runs, size, tree.pages())) {
      return Unproved(NameOf(region), "runs of its pages, ascending",
                      "something else");
    }
    for (const PageRun& run : delta->runs) {
      for (uint64_t i = 0; i < run.digests.size() / size; ++i) {
        const ByteView digest = ByteView(run.digests).subspan(i * size, size);
        const ByteView before = tree.Node(0, run.first + i);
        if (!std::equal(digest.begin(), digest.end(), before.begin())) {
          changes.emplace(run.first + i, digest);
        }
      }
    }
  }
  const DigestBytes root = tree.RootWith(changes);
  if (root != state.root) {
    return Unproved(NameOf(region), ToHex(state.root), ToHex(root));
  }
  for (const auto& [page, digest] : changes) {
    change.pages.push_back(page);
  }
  return std::nullopt;
}

bool FitsParts(const std::vector<evidence::SnapshotPages::Part>& parts,
               uint64_t pages) {
  uint64_t next = 0;
  for (const evidence::SnapshotPages::Part& part : parts) {
    if (part.first_page < next || part.first_page > pages ||
        part.pages > pages - part.first_page) {
      return false;
    }
    next = part.first_page + part.pages;
  }
  return true;
}

std::optional<Reason> ApplyMoved(const Baseline& baseline, const Region& region,
                                 const evidence::RegionState& state,
                                 RegionDelta& delta, RegionChange& change) {
  const size_t size = DigestSize(baseline.algorithm);
  if (delta.runs.size() > 1 ||
      (!delta.runs.empty() && delta.runs[0].first != 0)) {
    return Unproved(NameOf(region), "one run with all its pages",
                    "something else");
  }
  Bytes digests;
  if (!delta.runs.empty()) {
    digests = std::move(delta.runs[0].digests);
  }
  if (digests.size() % size != 0 || digests.size() / size != state.pages ||
      !FitsParts(delta.parts, state.pages)) {
    return Unproved(NameOf(region), fmt::format("{} pages", state.pages),
                    fmt::format("{}", digests.size() / size));
  }
  if (SelectionOf(baseline.algorithm, delta.ranges) != state.selection) {
    return Unproved(NameOf(region), "ranges that were signed", "others");
  }
  const DigestBytes root = snapshot::PageTreeRoot(baseline.algorithm, digests);
  if (root != state.root) {
    return Unproved(NameOf(region), ToHex(state.root), ToHex(root));
  }
  change.moved = true;
  change.now = {region.name, std::move(delta.ranges), std::move(digests),
                std::move(delta.parts)};
  return std::nullopt;
}

std::optional<Reason> ApplyRegion(const LoadedBaseline& baseline, size_t index,
                                  const evidence::RegionState& state,
                                  RegionDelta* delta, Applied& applied) {
  const Region& region = baseline.baseline().regions[index];
  RegionChange change;
  change.region = index;
  const bool moved =
      state.selection != region.selection || state.pages != region.pages;
  if (moved && (delta == nullptr || !delta->moved)) {
    return Unproved(NameOf(region), "where it lies now", "nothing");
  }
  std::optional<Reason> refused =
      moved ? ApplyMoved(baseline.baseline(), region, state, *delta, change)
            : ApplyInPlace(baseline, index, state, delta, change);
  if (!refused && (change.moved || !change.pages.empty())) {
    applied.regions.push_back(std::move(change));
  }
  return refused;
}

// The baseline's records with the changes; both are sorted.
std::vector<StateRecord> Merge(const std::vector<StateRecord>& before,
                               std::vector<RecordDelta> deltas) {
  std::vector<StateRecord> after;
  auto old = before.begin();
  for (RecordDelta& delta : deltas) {
    for (; old != before.end() && old->name < delta.record.name; ++old) {
      after.push_back(*old);
    }
    if (old != before.end() && old->name == delta.record.name) {
      ++old;
    }
    if (!delta.gone) {
      after.push_back(std::move(delta.record));
    }
  }
  after.insert(after.end(), old, before.end());
  return after;
}

std::optional<Reason> ApplyRecords(const LoadedBaseline& baseline,
                                   const evidence::StateStatement& statement,
                                   std::vector<RecordDelta> deltas,
                                   Applied& applied) {
  if (baseline.baseline().records_root.empty() ||
      statement.records_root.empty()) {
    return std::nullopt;
  }
  const auto unordered = std::adjacent_find(
      deltas.begin(), deltas.end(), [](const auto& a, const auto& b) {
        return a.record.name >= b.record.name;
      });
  if (unordered != deltas.end()) {
    return Unproved("records", "each name once, in order",
                    unordered->record.name);
  }
  applied.records = Merge(baseline.records(), std::move(deltas));
  const DigestBytes root =
      evidence::RecordsRoot(statement.algorithm, applied.records);
  if (root != statement.records_root ||
      applied.records.size() != statement.record_count) {
    return Unproved("records", ToHex(statement.records_root), ToHex(root));
  }
  return std::nullopt;
}

}  // namespace

Applied ApplyDelta(const LoadedBaseline& baseline,
                   const evidence::StateStatement& statement, Delta delta) {
  Applied applied;
  auto next = delta.regions.begin();
  const bool same_run = IsSameRun(baseline.baseline(), statement);
  for (size_t i = 0; i < baseline.baseline().regions.size(); ++i) {
    const std::string& name = baseline.baseline().regions[i].name;
    const auto state =
        std::find_if(statement.regions.begin(), statement.regions.end(),
                     [&](const auto& one) { return one.name == name; });
    RegionDelta* own = nullptr;
    if (next != delta.regions.end() && next->name == name) {
      own = &*next++;
    }
    if (!same_run || state == statement.regions.end() ||
        !state->unavailable.empty()) {
      continue;
    }
    applied.refused = ApplyRegion(baseline, i, *state, own, applied);
    if (applied.refused) {
      return applied;
    }
  }
  if (next != delta.regions.end()) {
    applied.refused =
        Unproved("regions", "the baseline's, in its order", next->name);
    return applied;
  }
  applied.refused =
      ApplyRecords(baseline, statement, std::move(delta.records), applied);
  return applied;
}

absl::StatusOr<Bytes> ReadNodes(const LoadedBaseline& baseline,
                                const std::string& region,
                                const std::vector<NodeRange>& ranges,
                                uint32_t prefix) {
  const std::vector<Region>& regions = baseline.baseline().regions;
  const auto found =
      std::find_if(regions.begin(), regions.end(),
                   [&](const Region& one) { return one.name == region; });
  if (found == regions.end()) {
    return absl::NotFoundError(fmt::format("no region '{}'", region));
  }
  const DigestTree& tree =
      baseline.tree(static_cast<size_t>(found - regions.begin()));
  const size_t whole = DigestSize(baseline.baseline().algorithm);
  const size_t size = prefix == 0 ? whole : std::min<size_t>(prefix, whole);
  uint64_t total = 0;
  Bytes nodes;
  for (const NodeRange& range : ranges) {
    if (range.level > tree.top() || range.first > tree.nodes(range.level) ||
        range.count > tree.nodes(range.level) - range.first) {
      return absl::OutOfRangeError(
          fmt::format("region '{}' has no nodes {}+{} of level {}", region,
                      range.first, range.count, range.level));
    }
    total += range.count;
    if (total > kMaxNodes) {
      return absl::InvalidArgumentError(
          fmt::format("more than {} nodes", kMaxNodes));
    }
    for (uint64_t i = 0; i < range.count; ++i) {
      const ByteView node = tree.Node(range.level, range.first + i);
      nodes.insert(nodes.end(), node.begin(),
                   node.begin() + static_cast<ptrdiff_t>(size));
    }
  }
  return nodes;
}

}  // namespace vmattest::baseline
