#ifndef VMATTEST_BASELINE_DELTA_H_
#define VMATTEST_BASELINE_DELTA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "baseline/baseline.h"
#include "evidence/statement.h"
#include "vmattest/types/verdict.h"

// How a snapshot follows from a baseline (docs/formats/baseline.md). The host
// finds it by walking both trees from the root, so that what is moved follows
// the size of the change; the verifier applies it to the baseline and believes
// it only if the roots come out that the evidence has. Pure; any thread.

namespace vmattest::baseline {

struct PageRun {
  uint64_t first = 0;
  Bytes digests;
};

struct RegionDelta {
  std::string name;
  std::vector<PageRun> runs;
  bool moved = false;
  // Only of one that moved.
  std::vector<evidence::PhysicalRange> ranges;
  std::vector<evidence::SnapshotPages::Part> parts;
};

struct RecordDelta {
  evidence::StateRecord record;
  bool gone = false;
};

struct Delta {
  std::vector<RegionDelta> regions;
  std::vector<RecordDelta> records;
};

inline constexpr size_t kMaxDelta = 4u << 20;
Bytes EncodeDelta(const Delta& delta);
// Strict as wire/codec.h is; hostile bytes. INVALID_ARGUMENT.
absl::StatusOr<Delta> ParseDelta(ByteView bytes);

// Nodes of a baseline's trees, wherever they are.
struct NodeRange {
  uint32_t level = 0;  // DigestTree's
  uint64_t first = 0;
  uint64_t count = 0;
};
inline constexpr uint64_t kMaxNodes = 65'536;  // of one call
class NodeSource {
 public:
  virtual ~NodeSource() = default;
  // The first `prefix` bytes (0: all) of each node, one after the other.
  virtual absl::StatusOr<Bytes> Nodes(const std::string& region,
                                      const std::vector<NodeRange>& ranges,
                                      uint32_t prefix) = 0;
  // By name.
  virtual absl::StatusOr<std::vector<evidence::StateRecord>> Records() = 0;
};
// OUT_OF_RANGE: there are no such nodes. INVALID_ARGUMENT: too many. NOT_FOUND:
// no such region.
absl::StatusOr<Bytes> ReadNodes(const LoadedBaseline& baseline,
                                const std::string& region,
                                const std::vector<NodeRange>& ranges,
                                uint32_t prefix);

// `pages` are the snapshot's. Nodes are compared by their first `prefix` bytes
// (0: whole): a guest that makes two pages alike in them makes the delta wrong,
// never the verdict; then walk again with 0. INTERNAL: the source answers
// something else than was asked. Else as the source.
inline constexpr uint32_t kShortPrefix = 8;
absl::StatusOr<Delta> MakeDelta(const Baseline& baseline,
                                const evidence::StateStatement& statement,
                                const evidence::SnapshotPages& pages,
                                NodeSource& source, uint32_t prefix);

// Whether pages of the two can be alike: not after the VM was started anew.
bool IsSameRun(const Baseline& baseline,
               const evidence::StateStatement& statement);

// One region that is not as the baseline has it.
struct RegionChange {
  size_t region = 0;            // of the baseline
  std::vector<uint64_t> pages;  // that differ, ascending
  bool moved = false;           // lies elsewhere: `now` has all of it
  evidence::SnapshotPages::Region now;
};

struct Applied {
  std::optional<Reason> refused;  // "delta-unproved"
  std::vector<RegionChange> regions;
  std::vector<evidence::StateRecord> records;  // the snapshot's
};
// Of regions that the snapshot has, in the order of the baseline; of another
// run, of its records alone.
Applied ApplyDelta(const LoadedBaseline& baseline,
                   const evidence::StateStatement& statement, Delta delta);

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_DELTA_H_
