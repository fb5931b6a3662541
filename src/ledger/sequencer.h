#ifndef VMATTEST_LEDGER_SEQUENCER_H_
#define VMATTEST_LEDGER_SEQUENCER_H_

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/executor.h"
#include "ledger/clock_guard.h"
#include "ledger/log.h"

namespace vmattest::ledger {

// Puts entries into the log, in batches, on a thread of its own ("ledger").
// Signatures are checked on `checkers`, before: the commit path does none.
// Callable from any thread.
class Sequencer {
 public:
  struct Options {
    size_t most = 64;  // entries of a batch
    // How long a batch waits for entries whose signatures are being checked;
    // it never waits for entries that may not come.
    std::chrono::milliseconds gather{20};
    size_t max_queued = 4'096;
    std::string self;  // what followers are told: an address
  };
  struct Submitted {
    std::optional<Reason> refusal;
    uint64_t index = 0;
    int64_t time_ms = 0;
    Bytes hash;  // of the entry
  };
  // INVALID_ARGUMENT: no entry. ABORTED: another node leads. RESOURCE_EXHAUSTED
  // and so on as LogStore::Append; UNAVAILABLE: shutting down, nobody knows
  // who leads, or this node's clock jumped (ClockGuard).
  using Done = std::function<void(absl::StatusOr<Submitted>)>;

  Sequencer(Log& log, Executor& checkers, const Clock& clock, Options options);
  Sequencer(const Sequencer&) = delete;
  Sequencer& operator=(const Sequencer&) = delete;
  // Answers what waits with UNAVAILABLE.
  ~Sequencer();

  // `done` runs once, on the thread "ledger", on one of `checkers`, or here.
  // RESOURCE_EXHAUSTED: too many wait; `done` does not run.
  absl::Status Submit(Bytes entry, Done done);
  // An entry that depends on all before it: made on the thread "ledger" while
  // nothing else is appended. An error of `make` is what `done` gets.
  using Make = std::function<absl::StatusOr<Bytes>(const Log& log)>;
  absl::Status SubmitMade(Make make, Done done);

  // Whether this node leads, and who does; from the last renewal.
  [[nodiscard]] Leadership leadership() const;
  [[nodiscard]] ClockGuard& clock_guard() { return guard_; }
  struct Stats {
    uint64_t batches = 0;
    uint64_t committed = 0;
    uint64_t refused = 0;
    uint64_t failed = 0;
    size_t queued = 0;
  };
  [[nodiscard]] Stats stats() const;

 private:
  struct Waiting {
    CheckedEntry checked;
    Done done;
    Make make;  // else `checked` is filled from the start
    bool ready = false;
    bool again = false;  // was taken back once
    std::optional<Reason> refusal;
  };
  using Slot = std::shared_ptr<Waiting>;

  void Run();
  bool WaitForWork() REQUIRES_LOCK(mutex_);
  std::vector<Slot> Pick() REQUIRES_LOCK(mutex_);
  void PutBack(const std::vector<Slot>& slots) REQUIRES_LOCK(mutex_);
  void CheckOne(const Slot& slot);
  void CommitBatch(const std::vector<Slot>& batch);
  absl::Status MakeEntry(const Slot& slot);
  // Refused, and in the way of nothing else, or to be appended.
  std::vector<Slot> FinishRefused(const std::vector<Slot>& batch);
  void FinishFailed(const std::vector<Slot>& batch, const absl::Status& why);
  absl::Status Enqueue(const Slot& slot);
  void Renew();
  absl::Status MayLead() const;
  void Finish(const Slot& slot, absl::StatusOr<Submitted> result);

  Log& log_;
  Executor& checkers_;
  const Clock& clock_;
  const Options options_;
  ClockGuard guard_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Slot> queue_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  // Of the queue: those being checked, and those that are.
  size_t checking_ GUARDED_BY(mutex_) = 0;
  size_t ready_ GUARDED_BY(mutex_) = 0;
  Leadership leadership_ GUARDED_BY(mutex_);
  absl::Status lead_error_ GUARDED_BY(mutex_);      // of the last renewal
  std::chrono::steady_clock::time_point renew_at_;  // the thread's own
  Stats stats_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_SEQUENCER_H_
