#ifndef VMATTEST_TESTS_FAKES_INLINE_EXECUTOR_H_
#define VMATTEST_TESTS_FAKES_INLINE_EXECUTOR_H_

#include "base/executor.h"

namespace vmattest::testing {

// Runs each task at once, on the caller's thread.
class InlineExecutor final : public Executor {
 public:
  [[nodiscard]] absl::Status Submit(std::function<void()> task) override {
    task();
    return absl::OkStatus();
  }
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_INLINE_EXECUTOR_H_
