#include "signing/tpm_tasks.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "fmt/format.h"

namespace vmattest::signing {

absl::Status TpmTasks::Add(Task task) {
  const MutexLock lock(mutex_);
  if (queue_.size() >= max_pending_) {
    return absl::ResourceExhaustedError(
        fmt::format("{} tasks wait for the TPM", queue_.size()));
  }
  queue_.push_back(std::move(task));
  return absl::OkStatus();
}

absl::StatusOr<bool> TpmTasks::DoTurn(
    const std::function<void()>& /*between*/) {
  Task task;
  {
    const MutexLock lock(mutex_);
    if (queue_.empty()) {
      return false;
    }
    task = std::move(queue_.front());
    queue_.pop_front();
  }
  absl::Status status = task.run();
  if (absl::IsUnavailable(status) && task.again) {
    const MutexLock lock(mutex_);
    queue_.push_front(std::move(task));
    return status;
  }
  task.done(status);
  if (absl::IsUnavailable(status) || absl::IsDataLoss(status)) {
    return status;
  }
  return true;
}

bool TpmTasks::Repair() {
  Task task;
  {
    const MutexLock lock(mutex_);
    const auto found =
        std::find_if(queue_.begin(), queue_.end(),
                     [](const Task& queued) { return queued.repairs; });
    if (found == queue_.end()) {
      return false;
    }
    task = std::move(*found);
    queue_.erase(found);
  }
  const absl::Status status = task.run();
  task.done(status);
  return status.ok();
}

MonotonicTime TpmTasks::FirstDeadline() const {
  const MutexLock lock(mutex_);
  MonotonicTime first = MonotonicTime::max();
  for (const Task& task : queue_) {
    first = std::min(first, task.deadline);
  }
  return first;
}

void TpmTasks::FailExpired(MonotonicTime now) {
  std::deque<Task> expired;
  {
    const MutexLock lock(mutex_);
    const auto late = std::stable_partition(
        queue_.begin(), queue_.end(),
        [&](const Task& task) { return task.deadline >= now; });
    std::move(late, queue_.end(), std::back_inserter(expired));
    queue_.erase(late, queue_.end());
  }
  for (const Task& task : expired) {
    task.done(absl::DeadlineExceededError("the TPM did not get to it in time"));
  }
}

void TpmTasks::FailAll(const absl::Status& status) {
  std::deque<Task> all;
  {
    const MutexLock lock(mutex_);
    all.swap(queue_);
    // What repairs is for a TPM of no use; at the end it goes as well.
    if (!absl::IsUnavailable(status)) {
      const auto repairs =
          std::stable_partition(all.begin(), all.end(),
                                [](const Task& task) { return !task.repairs; });
      std::move(repairs, all.end(), std::back_inserter(queue_));
      all.erase(repairs, all.end());
    }
  }
  for (const Task& task : all) {
    task.done(status);
  }
}

}  // namespace vmattest::signing
