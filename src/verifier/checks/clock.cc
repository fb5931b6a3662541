#include <fmt/format.h>

#include <algorithm>

#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {

CheckResult CheckClock(const Context& context) {
  const TpmClock& measured = context.statement.header.measured_at;
  const TpmClock& quoted = context.attest.clock;
  if (measured.reset_count != quoted.reset_count) {
    return CheckResult::Fail(reason::kClockReset, "measured_at.reset_count",
                             std::to_string(quoted.reset_count),
                             std::to_string(measured.reset_count));
  }
  if (measured.restart_count != quoted.restart_count) {
    return CheckResult::Fail(reason::kClockRestart, "measured_at.restart_count",
                             std::to_string(quoted.restart_count),
                             std::to_string(measured.restart_count));
  }
  if (measured.clock_ms > quoted.clock_ms) {
    return CheckResult::Fail(reason::kClockBackwards, "measured_at.clock_ms",
                             fmt::format("at most {}", quoted.clock_ms),
                             std::to_string(measured.clock_ms));
  }
  const uint64_t age = quoted.clock_ms - measured.clock_ms;
  const auto most = static_cast<uint64_t>(
      std::max<int64_t>(0, context.policy.max_measurement_age.count()));
  if (age > most) {
    return CheckResult::Fail(
        reason::kMeasurementTooOld, "from measured_at to the quote",
        fmt::format("at most {} ms", most), fmt::format("{} ms", age));
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
