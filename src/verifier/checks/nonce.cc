#include <fmt/format.h>

#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {

CheckResult CheckNonce(const Context& context) {
  const Bytes& found = context.statement.header.nonce;
  if (!found.empty() && (found.size() < evidence::kMinNonceSize ||
                         found.size() > evidence::kMaxNonceSize)) {
    return CheckResult::Fail(
        reason::kStatementField, "statement.header.nonce",
        fmt::format("none, or {} to {} bytes", evidence::kMinNonceSize,
                    evidence::kMaxNonceSize),
        fmt::format("{} bytes", found.size()));
  }
  if (context.policy.nonce && *context.policy.nonce != found) {
    return CheckResult::Fail(reason::kNonceMismatch, "statement.header.nonce",
                             ToHex(*context.policy.nonce), ToHex(found));
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
