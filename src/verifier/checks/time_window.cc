#include <fmt/format.h>

#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {

CheckResult CheckTimeWindow(const Context& context) {
  const int64_t made = context.statement.header.time_unix_ms;
  const int64_t now = context.now.time_since_epoch().count();
  const int64_t latest = now + context.policy.max_clock_skew.count();
  if (made > latest) {
    return CheckResult::Fail(
        reason::kTimeInFuture, "statement.header.time_unix_ms",
        fmt::format("at most {}", latest), std::to_string(made));
  }
  if (context.policy.max_age) {
    const int64_t earliest = now - context.policy.max_age->count();
    if (made < earliest) {
      return CheckResult::Fail(
          reason::kTimeTooOld, "statement.header.time_unix_ms",
          fmt::format("at least {}", earliest), std::to_string(made));
    }
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
