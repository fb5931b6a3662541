#include "ledger/clock_guard.h"

#include <cstdlib>

#include "fmt/format.h"

namespace vmattest::ledger {
namespace {

// A clock that NTP slews moves less than this in kSettle.
constexpr int64_t kStillMs = 1'000;
constexpr int64_t kSettleMs =
    std::chrono::milliseconds(ClockGuard::kSettle).count();

}  // namespace

ClockGuard::ClockGuard(const Clock& clock, int64_t max_skew_ms)
    : clock_(clock), max_skew_ms_(max_skew_ms) {
  const Moment now = Look();
  const MutexLock lock(mutex_);
  good_ = newest_ = now.wall_ms - now.steady_ms;
  newest_since_ms_ = now.steady_ms;
}

ClockGuard::Moment ClockGuard::Look() const {
  const auto steady = std::chrono::floor<std::chrono::milliseconds>(
      clock_.Monotonic().time_since_epoch());
  return {.wall_ms = clock_.Now().time_since_epoch().count(),
          .steady_ms = steady.count()};
}

absl::Status ClockGuard::Check() {
  const Moment now = Look();
  const int64_t offset = now.wall_ms - now.steady_ms;
  const MutexLock lock(mutex_);
  if (std::abs(offset - newest_) > kStillMs) {
    newest_ = offset;
    newest_since_ms_ = now.steady_ms;
  }
  bool good = now.steady_ms - newest_since_ms_ >= kSettleMs;
  if (quorum_ && now.steady_ms - quorum_at_ms_ < kSettleMs) {
    if (offset - *quorum_ > max_skew_ms_) {
      return absl::UnavailableError(fmt::format(
          "this node's clock is {} s ahead of that of a quorum of witnesses: "
          "nothing is committed until it is right",
          (offset - *quorum_) / 1'000));
    }
    good = good || *quorum_ - offset <= max_skew_ms_;
  }
  if (good) {
    good_ = offset;
  }
  if (std::abs(offset - good_) <= max_skew_ms_) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(fmt::format(
      "this node's clock jumped by {} s: nothing is committed until it is "
      "back, or has stood still for {} minutes, or the node is restarted",
      (offset - good_) / 1'000, kSettle.count()));
}

void ClockGuard::Heard(const Moment& asked, int64_t unix_ms) {
  const MutexLock lock(mutex_);
  quorum_ = unix_ms - asked.steady_ms;
  quorum_at_ms_ = asked.steady_ms;
}

}  // namespace vmattest::ledger
