#ifndef VMATTEST_TESTS_FAKES_MANUAL_CLOCK_H_
#define VMATTEST_TESTS_FAKES_MANUAL_CLOCK_H_

#include <atomic>

#include "base/clock.h"

namespace vmattest::testing {

// Stands still until told otherwise. Callable from any thread.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t unix_ms = 1'700'000'000'000)
      : unix_ms_(unix_ms) {}
  [[nodiscard]] WallTime Now() const override {
    return WallTime(std::chrono::milliseconds(unix_ms_.load()));
  }
  [[nodiscard]] MonotonicTime Monotonic() const override {
    return MonotonicTime(std::chrono::milliseconds(monotonic_ms_.load()));
  }
  void Advance(std::chrono::milliseconds step) {
    unix_ms_ += step.count();
    monotonic_ms_ += step.count();
  }
  // Somebody sets the wall clock; no time passes.
  void Set(std::chrono::milliseconds step) { unix_ms_ += step.count(); }

 private:
  std::atomic<int64_t> unix_ms_;
  std::atomic<int64_t> monotonic_ms_ = 1'000'000;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_MANUAL_CLOCK_H_
