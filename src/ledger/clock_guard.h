#ifndef VMATTEST_LEDGER_CLOCK_GUARD_H_
#define VMATTEST_LEDGER_CLOCK_GUARD_H_

#include <chrono>
#include <optional>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"

namespace vmattest::ledger {

// Whether this node's wall clock may date records, which nobody can date anew:
// one record of the future makes all that follows late until that future is
// there. A clock that jumped against the steady clock may not, until it is back
// or has stood still for so long that somebody must have meant it; a quorum of
// witnesses that says what time it is decides at once. A clock that was wrong
// when the object was made is noticed by a quorum only. Callable from any
// thread.
class ClockGuard {
 public:
  static constexpr std::chrono::minutes kSettle{10};

  ClockGuard(const Clock& clock, int64_t max_skew_ms);

  // Call it every few seconds, so that it sees how long a clock stood still.
  // UNAVAILABLE: it may not, and why.
  absl::Status Check();

  struct Moment {
    int64_t wall_ms = 0;
    int64_t steady_ms = 0;
  };
  [[nodiscard]] Moment Look() const;
  // A quorum that was asked at `asked` had cosigned at `unix_ms`.
  void Heard(const Moment& asked, int64_t unix_ms);

 private:
  const Clock& clock_;
  const int64_t max_skew_ms_;
  Mutex mutex_;
  // All of these are wall clock minus steady clock, and moments of the latter.
  int64_t good_ GUARDED_BY(mutex_);
  int64_t newest_ GUARDED_BY(mutex_);
  int64_t newest_since_ms_ GUARDED_BY(mutex_);
  std::optional<int64_t> quorum_ GUARDED_BY(mutex_);
  int64_t quorum_at_ms_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_CLOCK_GUARD_H_
