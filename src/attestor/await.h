#ifndef VMATTEST_ATTESTOR_AWAIT_H_
#define VMATTEST_ATTESTOR_AWAIT_H_

#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace vmattest::attestor {

// The answer outlives a caller that did not wait for it.
template <class T>
class Answer {
 public:
  void Put(T answer) {
    const MutexLock lock(mutex_);
    answer_ = std::move(answer);
    changed_.NotifyAll();
  }
  std::optional<T> Take(MonotonicTime deadline) {
    const MutexLock lock(mutex_);
    while (!answer_) {
      if (!changed_.WaitUntil(mutex_, deadline)) {
        break;
      }
    }
    return std::exchange(answer_, std::nullopt);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::optional<T> answer_ GUARDED_BY(mutex_);
};

// Calls `ask` with a callback of the signer's and waits for it. `Result` is a
// StatusOr. DEADLINE_EXCEEDED: it was not called in time.
template <class Result, class Ask>
Result Await(MonotonicTime deadline, const Ask& ask) {
  const auto answer = std::make_shared<Answer<Result>>();
  const absl::Status queued =
      ask([answer](Result result) { answer->Put(std::move(result)); });
  if (!queued.ok()) {
    return queued;
  }
  std::optional<Result> result = answer->Take(deadline);
  if (!result) {
    return absl::DeadlineExceededError("the TPM did not answer in time");
  }
  return *std::move(result);
}

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_AWAIT_H_
