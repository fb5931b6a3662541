#include <fmt/format.h>

#include "verifier/checks/checks.h"
#include "verifier/key_certification.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {

CheckResult CheckQuoteStructure(const Context& context) {
  const evidence::Attest& attest = context.attest;
  if (attest.magic != evidence::kTpmGenerated) {
    return CheckResult::Fail(reason::kQuoteMagic, "tpm2-quote.quoted.magic",
                             fmt::format("{:#010x}", evidence::kTpmGenerated),
                             fmt::format("{:#010x}", attest.magic));
  }
  if (attest.type != evidence::kTpmStAttestQuote) {
    return CheckResult::Fail(
        reason::kQuoteType, "tpm2-quote.quoted.type",
        fmt::format("{:#06x}", evidence::kTpmStAttestQuote),
        fmt::format("{:#06x}", attest.type));
  }
  const Bytes signer = QualifiedName(context.purpose_key);
  if (signer.empty() || attest.qualified_signer != signer) {
    return CheckResult::Fail(reason::kQuoteSigner,
                             "tpm2-quote.quoted.qualified_signer",
                             ToHex(signer), ToHex(attest.qualified_signer));
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
