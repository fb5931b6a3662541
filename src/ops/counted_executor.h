#ifndef VMATTEST_OPS_COUNTED_EXECUTOR_H_
#define VMATTEST_OPS_COUNTED_EXECUTOR_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/executor.h"

namespace vmattest::ops {

// Another executor, whose finished tasks are counted: the watchdog's proof
// that something moves. `inner` must outlive this, and this every task.
class CountedExecutor final : public Executor {
 public:
  explicit CountedExecutor(Executor& inner) : inner_(inner) {}

  [[nodiscard]] absl::Status Submit(std::function<void()> task) override {
    return inner_.Submit([this, task = std::move(task)] {
      task();
      finished_.fetch_add(1, std::memory_order_relaxed);
    });
  }
  [[nodiscard]] uint64_t finished() const {
    return finished_.load(std::memory_order_relaxed);
  }

 private:
  Executor& inner_;
  std::atomic<uint64_t> finished_ = 0;
};

}  // namespace vmattest::ops

#endif  // VMATTEST_OPS_COUNTED_EXECUTOR_H_
