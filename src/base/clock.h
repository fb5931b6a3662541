#ifndef VMATTEST_BASE_CLOCK_H_
#define VMATTEST_BASE_CLOCK_H_

#include <chrono>

namespace vmattest {

using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;
using MonotonicTime = std::chrono::steady_clock::time_point;

// Where time enters the program. Callable from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual WallTime Now() const = 0;
  [[nodiscard]] virtual MonotonicTime Monotonic() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] WallTime Now() const override {
    return std::chrono::floor<std::chrono::milliseconds>(
        std::chrono::system_clock::now());
  }
  [[nodiscard]] MonotonicTime Monotonic() const override {
    return std::chrono::steady_clock::now();
  }
};

}  // namespace vmattest

#endif  // VMATTEST_BASE_CLOCK_H_
