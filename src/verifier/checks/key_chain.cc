#include <fmt/format.h>

#include "verifier/checks/checks.h"
#include "verifier/key_certification.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {

CheckResult CheckKeyChain(const Context& context) {
  if (context.host == nullptr) {
    return CheckResult::Fail(
        reason::kHostUnknown, "statement.header.host_id",
        fmt::format("{}", fmt::join(context.anchors.host_ids(), ", ")),
        context.statement.header.host_id);
  }
  const evidence::KeyCertification& key = *context.certification;
  if (key.purpose != context.purpose) {
    return CheckResult::Fail(reason::kKeyPurpose,
                             context.evidence.envelope.payload_type,
                             std::string(ToString(context.purpose)),
                             std::string(ToString(key.purpose)));
  }
  if (CheckResult result =
          CheckCertification(key, context.purpose_key, *context.host);
      !result.passed()) {
    return result;
  }
  for (const evidence::Signature& signature :
       context.evidence.envelope.signatures) {
    if (const auto* raw =
            std::get_if<evidence::RawSignature>(&signature.body)) {
      return CheckResult::Fail(
          reason::kSignatureKeyUnknown, signature.algorithm,
          "a key that the anchors list", ToHex(raw->key_id));
    }
  }
  if (!SignatureHolds(context.purpose_key, context.quote->quoted,
                      context.quote_signature)) {
    return CheckResult::Fail(
        reason::kQuoteSignature, "tpm2-quote.signature",
        "a signature by " + ToHex(context.purpose_key.name),
        "the signature does not verify");
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
