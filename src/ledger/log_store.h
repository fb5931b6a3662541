#ifndef VMATTEST_LEDGER_LOG_STORE_H_
#define VMATTEST_LEDGER_LOG_STORE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace vmattest::ledger {

// What the log is after a commit. Size alone does not name a log: a store that
// was rolled back grows past its old size again, with another root.
struct LogHead {
  uint64_t size = 0;
  Bytes root;                // RFC 6962, SHA-256; of no records: H("")
  int64_t time_unix_ms = 0;  // ledger time of the newest record; 0: none
  friend bool operator==(const LogHead&, const LogHead&) = default;
};
LogHead EmptyHead();

// A tile of C2SP tlog-tiles: up to 256 hashes, 32 bytes each, of tile level
// `level` (0: record hashes), starting at hash `index` * 256 of it.
struct HashTile {
  uint32_t level = 0;
  uint64_t index = 0;
  Bytes hashes;  // 1 to 256 of them
  friend bool operator==(const HashTile&, const HashTile&) = default;
};

// One commit. The store keeps bytes and never looks into them.
struct LogBatch {
  LogHead before;              // what `after` was computed from
  LogHead after;               // size = before.size + records.size()
  std::vector<Bytes> records;  // 1 to kMaxBatch, 1 to 65,535 bytes each
  // Every tile that changed, as it is now: each longer than what it replaces.
  std::vector<HashTile> tiles;
};
inline constexpr size_t kMaxBatch = 256;

// Newest checkpoint: size as in the note, and the note with its cosignatures.
struct StoredCheckpoint {
  uint64_t size = 0;
  std::string note;
  friend bool operator==(const StoredCheckpoint&,
                         const StoredCheckpoint&) = default;
};

// Derived state: what folding the first `size` records gave. A cache, which
// may be older than the log or absent; rebuilt from the records.
struct StateItem {
  std::string key;  // 1 to 200 bytes
  Bytes value;      // empty: remove the key
  friend bool operator==(const StateItem&, const StateItem&) = default;
};

struct Leadership {
  bool mine = false;
  std::string leader;  // what the leader called itself; empty: nobody leads
  friend bool operator==(const Leadership&, const Leadership&) = default;
};

// Where the log is kept. One node at a time appends (the leader); any node
// reads. Durable: what returned OK survives a crash of process and machine,
// and each call is done as a whole or not at all. Callable from any thread;
// blocks, with a deadline of the adapter's where a network is between.
//   ABORTED              head, leader or size is another by now; read again
//   UNAVAILABLE, DEADLINE_EXCEEDED  nobody knows whether a write was done: read
//                        the head before anything else, never just retry
//   RESOURCE_EXHAUSTED   disk or quota full; nothing was done
//   DATA_LOSS            the store is damaged, was rolled back, or is another
//                        one; stop and alarm
//   INVALID_ARGUMENT     a batch that breaks the limits above
class LogStore {
 public:
  virtual ~LogStore() = default;

  // The newest committed head, never an older one than any that was returned
  // or acknowledged before, to whomever. An empty store gives EmptyHead().
  virtual absl::StatusOr<LogHead> Head() = 0;
  // Returns the head once its size is not `seen_size`, or at the deadline.
  virtual absl::StatusOr<LogHead> WaitForHead(
      uint64_t seen_size, std::chrono::steady_clock::time_point deadline) = 0;

  // Becomes leader if nobody is, and renews it: call at least every
  // LeaseInterval(). `self` is what followers are told: an address.
  virtual absl::StatusOr<Leadership> Lead(const std::string& self) = 0;
  virtual absl::Status Resign() = 0;
  [[nodiscard]] virtual std::chrono::milliseconds LeaseInterval() const = 0;

  // ABORTED: the head is not `batch.before`, or this node does not lead (any
  // more): a paused leader that wakes changes nothing.
  virtual absl::Status Append(const LogBatch& batch) = 0;

  // Records [begin, begin + limit) as far as there are any; fewer where the
  // adapter's messages end. Not empty for begin < size. OUT_OF_RANGE: begin is
  // below FirstRecord().
  virtual absl::StatusOr<std::vector<Bytes>> Records(uint64_t begin,
                                                     size_t limit) = 0;
  // NOT_FOUND: there is no such tile yet. As long as it is now, or longer than
  // at any head that was read before.
  virtual absl::StatusOr<HashTile> Tile(uint32_t level, uint64_t index) = 0;

  // Replaces an older checkpoint. The same size with another note replaces it
  // too (more cosignatures). ABORTED: a larger one is there.
  virtual absl::Status PutCheckpoint(const StoredCheckpoint& checkpoint) = 0;
  virtual absl::StatusOr<std::optional<StoredCheckpoint>> Checkpoint() = 0;

  // Adds `items` to the state and makes it that of `size` records, all or
  // none. ABORTED: it is of more records already, or `seen_size` is not what
  // it is of. An adapter may need several writes for many items; then a crash
  // leaves none (StateSize() 0), and the reader rebuilds.
  virtual absl::Status PutState(uint64_t seen_size, uint64_t size,
                                const std::vector<StateItem>& items) = 0;
  virtual absl::StatusOr<uint64_t> StateSize() = 0;  // 0: none
  // By key, those after `after`; fewer than `limit` only at the end.
  virtual absl::StatusOr<std::vector<StateItem>> State(const std::string& after,
                                                       size_t limit) = 0;

  // How far `node` holds a copy of its own; never goes back.
  virtual absl::Status MarkArchived(const std::string& node, uint64_t size) = 0;
  // Drops records below `before` (tiles stay, so proofs stay).
  // FAILED_PRECONDITION: one of `archives` has not got them, `archives` is
  // empty, or the state is of fewer records.
  virtual absl::Status Trim(uint64_t before,
                            const std::vector<std::string>& archives) = 0;
  virtual absl::StatusOr<uint64_t> FirstRecord() = 0;
};

// At least one record from `begin` on, at most `limit`; for copies of a log.
using ReadRecords = std::function<absl::StatusOr<std::vector<Bytes>>(
    uint64_t begin, size_t limit)>;

// What every adapter checks first: limits, sizes, tiles' lengths.
absl::Status CheckBatch(const LogBatch& batch);

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_LOG_STORE_H_
