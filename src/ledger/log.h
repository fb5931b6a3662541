#ifndef VMATTEST_LEDGER_LOG_H_
#define VMATTEST_LEDGER_LOG_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "ledger/log_state.h"
#include "ledger/log_store.h"
#include "tlog/tile_tree.h"

namespace vmattest::ledger {

// An entry whose signature was checked, and with what.
struct CheckedEntry {
  Entry entry;
  WriterKey key;
};

// What became of an entry. Neither refused nor committed: it shares a writer,
// VM or host with one before it in the batch, and may come again.
struct Outcome {
  std::optional<Reason> refusal;
  std::optional<uint64_t> index;  // committed, also long ago (a retry)
  int64_t time_ms = 0;
};

// The ledger over one store: checks, appends, proves. Callable from any
// thread; blocks as the store does.
class Log {
 public:
  // Records below this are in a checkpoint of our own, and were checked when
  // it was signed: their hashes are checked again, their signatures not.
  struct Trusted {
    uint64_t size = 0;
    Bytes root;
  };
  using Progress = std::function<void(uint64_t done, uint64_t of)>;
  // Reads and checks all that is there. Of a log that was trimmed, the state
  // that its store has, which the state-root entry after it must confirm, and
  // what follows; where there is no such state, `archive` has what was
  // dropped. DATA_LOSS names what does not fit: a record, a tile, the head, the
  // state, or the root of `trusted` (rolled back, or another log).
  static absl::StatusOr<std::unique_ptr<Log>> Open(LogStore& store,
                                                   LogPolicy policy,
                                                   Trusted trusted,
                                                   Progress progress = {},
                                                   ReadRecords archive = {});

  // Takes in what other nodes appended. DATA_LOSS as above: the log is not a
  // continuation of what this node knew.
  absl::Status CatchUp();

  // One batch at ledger time max(`now`, that of the newest record), at most
  // kMaxBatch. After an error that leaves it open whether the batch is in, it
  // finds out. ABORTED: nothing is in, and this node does not lead or has not
  // read all there is: CatchUp(). UNAVAILABLE, DEADLINE_EXCEEDED: perhaps it is
  // in; the same entries again are answered with the indexes they have.
  absl::StatusOr<std::vector<Outcome>> Append(
      const std::vector<const CheckedEntry*>& entries, WallTime now);
  absl::StatusOr<std::vector<Outcome>> Append(
      const std::vector<CheckedEntry>& entries, WallTime now);

  [[nodiscard]] LogHead head() const;
  // `use` sees the state of all records up to head(); it must not block.
  template <class Use>
  auto With(Use use) const {
    const MutexLock lock(mutex_);
    return use(static_cast<const LogState&>(state_));
  }
  void Witnessed(uint64_t size);

  // OUT_OF_RANGE: no such record, or trimmed; `size` is not yet reached.
  absl::StatusOr<Record> Read(uint64_t index);
  struct Included {
    Record record;
    Bytes record_bytes;
    std::vector<Bytes> path;
  };
  absl::StatusOr<Included> ReadIncluded(uint64_t index, uint64_t size);
  absl::StatusOr<std::vector<Bytes>> InclusionProof(uint64_t index,
                                                    uint64_t size);
  absl::StatusOr<std::vector<Bytes>> ConsistencyProof(uint64_t old_size,
                                                      uint64_t size);
  absl::StatusOr<Bytes> RootAt(uint64_t size);
  [[nodiscard]] LogStore& store() const { return store_; }
  [[nodiscard]] const LogPolicy& policy() const { return policy_; }

 private:
  Log(LogStore& store, LogPolicy policy, ReadRecords archive);
  absl::Status BeginAt(uint64_t size, const LogHead& head,
                       const Trusted& trusted) REQUIRES_LOCK(mutex_);
  absl::StatusOr<std::vector<Bytes>> NextRecords(uint64_t end)
      REQUIRES_LOCK(mutex_);
  absl::Status Replay(const LogHead& head, const Trusted& trusted,
                      const Progress& progress) REQUIRES_LOCK(mutex_);
  absl::Status TakeRecord(const Bytes& bytes, bool check_signature)
      REQUIRES_LOCK(mutex_);
  absl::Status CheckTiles() REQUIRES_LOCK(mutex_);
  struct Plan {
    std::vector<Outcome> outcomes;
    std::vector<size_t> taken;  // of the entries, in their order
    LogBatch batch;
    tlog::TreeEdge edge;
  };
  [[nodiscard]] Plan MakePlan(const std::vector<const CheckedEntry*>& entries,
                              WallTime now) const REQUIRES_LOCK(append_mutex_);
  absl::Status CheckCurrent(const std::vector<Outcome>& outcomes)
      REQUIRES_LOCK(append_mutex_);
  absl::Status Commit(const LogBatch& batch) REQUIRES_LOCK(append_mutex_);
  tlog::ReadTile Reader();

  LogStore& store_;
  const ReadRecords archive_;
  const LogPolicy policy_;
  // Held over everything that makes the log longer; before mutex_.
  Mutex append_mutex_;
  mutable Mutex mutex_;
  LogState state_ GUARDED_BY(mutex_);
  tlog::TreeEdge edge_ GUARDED_BY(mutex_);
  LogHead head_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_LOG_H_
