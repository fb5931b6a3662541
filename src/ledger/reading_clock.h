#ifndef VMATTEST_LEDGER_READING_CLOCK_H_
#define VMATTEST_LEDGER_READING_CLOCK_H_

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/mutex.h"

namespace vmattest::ledger {

// The time that a node reads scores at (rule S30). It never goes back, and runs
// on with the steady clock, so that a wall clock that is set back makes no old
// pass fresh. What a wall clock that ran ahead for a moment leaves is a time
// that is too late: scores that are too low, until the wall clock is there or
// the node is restarted, and never any that are too high. Callable from any
// thread.
class ReadingClock {
 public:
  explicit ReadingClock(const Clock& clock) : clock_(clock) {}

  // At `known_ms` at least, which somebody else vouches for.
  int64_t Read(int64_t known_ms) {
    const MutexLock lock(mutex_);
    RunOn();
    last_ms_ = std::max({last_ms_, Wall(), known_ms});
    return last_ms_;
  }
  // How far its time is ahead of the wall clock's. No reading: nothing is kept
  // of what the wall clock says.
  [[nodiscard]] int64_t AheadMs() {
    const MutexLock lock(mutex_);
    RunOn();
    return std::max<int64_t>(0, last_ms_ - Wall());
  }

 private:
  [[nodiscard]] int64_t Wall() const {
    return clock_.Now().time_since_epoch().count();
  }
  // What is left of a millisecond is counted with the next, so that who reads
  // often does not make time run slower.
  void RunOn() REQUIRES_LOCK(mutex_) {
    const auto passed = std::chrono::floor<std::chrono::milliseconds>(
        clock_.Monotonic() - steady_);
    if (passed.count() > 0) {
      last_ms_ += passed.count();
      steady_ += passed;
    }
  }

  const Clock& clock_;
  Mutex mutex_;
  MonotonicTime steady_ GUARDED_BY(mutex_){clock_.Monotonic()};
  int64_t last_ms_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_READING_CLOCK_H_
