#ifndef VMATTEST_SIGNING_LOG_QUEUE_H_
#define VMATTEST_SIGNING_LOG_QUEUE_H_

#include <deque>
#include <functional>

#include "base/mutex.h"
#include "sealing/tpm_work.h"
#include "signing/host_log.h"
#include "signing/signer.h"

namespace vmattest::signing {

// Events that wait for the host event log, in order. Those that wait together
// are one batch. Append() and pending() from any thread; the rest, and every
// callback, is the `tpm` thread's.
class LogQueue final : public sealing::TpmWork {
 public:
  // `on_log` is told whenever the log is another.
  LogQueue(HostLog& log, size_t max_pending, std::function<void()> on_log)
      : log_(log), max_pending_(max_pending), on_log_(std::move(on_log)) {}

  // RESOURCE_EXHAUSTED: too many wait. INVALID_ARGUMENT: no event that can be
  // written down.
  [[nodiscard]] absl::Status Append(eventlog::HostEvent event,
                                    MonotonicTime deadline,
                                    Signer::AppendDone done)
      EXCLUDES_LOCK(mutex_);

  absl::Status Opened() override;
  absl::StatusOr<bool> DoTurn(const std::function<void()>& between) override;
  [[nodiscard]] MonotonicTime FirstDeadline() const override
      EXCLUDES_LOCK(mutex_);
  void FailExpired(MonotonicTime now) override EXCLUDES_LOCK(mutex_);
  void FailAll(const absl::Status& status) override EXCLUDES_LOCK(mutex_);

 private:
  struct Pending {
    eventlog::HostEvent event;
    MonotonicTime deadline;
    Signer::AppendDone done;
    uint64_t record = 0;  // its number, once it is in the file
  };
  using Batch = std::deque<Pending>;

  Batch TakeBatch() EXCLUDES_LOCK(mutex_);
  void PutBack(Batch batch) EXCLUDES_LOCK(mutex_);
  void AnswerLogged();

  HostLog& log_;
  const size_t max_pending_;
  const std::function<void()> on_log_;
  mutable Mutex mutex_;
  Batch queue_ GUARDED_BY(mutex_);
  Batch written_ GUARDED_BY(mutex_);  // in the file, not yet in the TPM
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_LOG_QUEUE_H_
