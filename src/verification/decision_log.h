#ifndef VMATTEST_VERIFICATION_DECISION_LOG_H_
#define VMATTEST_VERIFICATION_DECISION_LOG_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "verification/verifier_store.h"

namespace vmattest::verification {

// Where decisions are stored before anybody is told (rule S40), and who is told
// then. What waits while the store writes is written together with one sync.
// Callable from any thread.
class DecisionLog {
 public:
  struct Options {
    size_t keep_decisions = 1'000'000;
    size_t keep_evidence = 4;  // of each VM
    size_t max_watchers = 64;
    size_t max_waiting = 4096;  // decisions that are not stored yet
  };
  // Hears of each decision that was made here, once it is stored; must not
  // block. Empty: nobody does.
  using Listener = std::function<void(const DecisionEntry&)>;

  // `store` must outlive it.
  DecisionLog(VerifierStore& store, const Options& options,
              Listener listener = {});
  DecisionLog(const DecisionLog&) = delete;
  DecisionLog& operator=(const DecisionLog&) = delete;

  // Blocks until it is stored; returns its sequence. RESOURCE_EXHAUSTED: too
  // many wait. Else the store's errors: then it is not stored.
  absl::StatusOr<uint64_t> Append(DecisionEntry decision, Bytes evidence);

  // Something was stored with the sequence by another way (VerifierStore's
  // events).
  void Stored(uint64_t sequence, DecisionEntry event);

  // Calls `wake` whenever the sequence has grown, under a lock: it must not
  // block, nor call this. Ends with the handle. RESOURCE_EXHAUSTED: too many.
  class Watch {
   public:
    ~Watch();

   private:
    friend class DecisionLog;
    Watch(DecisionLog& log, uint64_t id) : log_(log), id_(id) {}
    DecisionLog& log_;
    const uint64_t id_;
  };
  absl::StatusOr<std::unique_ptr<Watch>> Subscribe(std::function<void()> wake);

  // Drops what is beyond Options.keep_decisions, and wakes watchers of what
  // others stored who share the store. Blocks on the store.
  absl::Status Trim();

  struct Counters {
    uint64_t trusted = 0;
    uint64_t refused = 0;
    uint64_t failed = 0;  // not stored
    size_t watchers = 0;
  };
  [[nodiscard]] Counters counters() const;

 private:
  struct Waiting {
    VerifierStore::DecisionWrite write;
    absl::StatusOr<uint64_t> result = absl::UnknownError("not stored yet");
    bool done = false;
  };
  void WriteAll(std::vector<Waiting*> batch) EXCLUDES_LOCK(mutex_);
  void Tell(const DecisionEntry& decision) EXCLUDES_LOCK(mutex_);
  void Wake(uint64_t sequence);

  VerifierStore& store_;
  const Options options_;
  const Listener listener_;
  mutable Mutex mutex_;
  CondVar written_;
  bool writing_ GUARDED_BY(mutex_) = false;
  std::vector<Waiting*> waiting_ GUARDED_BY(mutex_);
  Counters counters_ GUARDED_BY(mutex_);

  mutable Mutex watch_mutex_;
  std::map<uint64_t, std::function<void()>> watchers_ GUARDED_BY(watch_mutex_);
  uint64_t next_watch_ GUARDED_BY(watch_mutex_) = 1;
  uint64_t told_ GUARDED_BY(watch_mutex_) = 0;  // the newest sequence
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_DECISION_LOG_H_
