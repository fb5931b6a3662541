#ifndef VMATTEST_SIGNING_TPM_TASKS_H_
#define VMATTEST_SIGNING_TPM_TASKS_H_

#include <deque>
#include <functional>

#include "base/mutex.h"
#include "sealing/tpm_work.h"

namespace vmattest::signing {

// Single commands for the `tpm` thread, one a turn, in order. Add() from any
// thread; the rest is that thread's.
class TpmTasks final : public sealing::TpmWork {
 public:
  struct Task {
    MonotonicTime deadline;
    // May be run again after UNAVAILABLE; else that is its answer.
    bool again = false;
    // Helps where the TPM cannot be opened as it is.
    bool repairs = false;
    std::function<absl::Status()> run;
    std::function<void(const absl::Status&)> done;  // once
  };
  explicit TpmTasks(size_t max_pending) : max_pending_(max_pending) {}

  // RESOURCE_EXHAUSTED: too many wait; `done` is not called then.
  [[nodiscard]] absl::Status Add(Task task) EXCLUDES_LOCK(mutex_);

  absl::Status Opened() override { return absl::OkStatus(); }
  absl::StatusOr<bool> DoTurn(const std::function<void()>& between) override
      EXCLUDES_LOCK(mutex_);
  [[nodiscard]] MonotonicTime FirstDeadline() const override
      EXCLUDES_LOCK(mutex_);
  void FailExpired(MonotonicTime now) override EXCLUDES_LOCK(mutex_);
  void FailAll(const absl::Status& status) override EXCLUDES_LOCK(mutex_);
  bool Repair() override EXCLUDES_LOCK(mutex_);

 private:
  const size_t max_pending_;
  mutable Mutex mutex_;
  std::deque<Task> queue_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_TPM_TASKS_H_
