#include <fmt/format.h>

#include <algorithm>

#include "verifier/checks/checks.h"
#include "verifier/key_certification.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

// These very bytes were checked with this AK when the anchor was read, and an
// anchor with a key that fails is none: half of an appraisal's signatures.
bool WasCheckedWithTheAnchor(const evidence::KeyCertification& key,
                             const Anchors::Host& host) {
  const auto& known = host.identity.keys;
  return std::any_of(known.begin(), known.end(),
                     [&key](const evidence::KeyCertification& one) {
                       return one.purpose == key.purpose &&
                              one.epoch == key.epoch &&
                              one.public_area == key.public_area &&
                              one.certify_info == key.certify_info &&
                              one.signature == key.signature;
                     });
}

}  // namespace

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
  if (!WasCheckedWithTheAnchor(key, *context.host)) {
    if (CheckResult result =
            CheckCertification(key, context.purpose_key, *context.host);
        !result.passed()) {
      return result;
    }
  }
  if (IsRevoked(key, context.purpose_key, *context.host)) {
    return CheckResult::Fail(
        reason::kKeyRevoked,
        fmt::format("key {} epoch {}", ToString(key.purpose), key.epoch),
        "a key that the host's AK did not revoke",
        ToHex(context.purpose_key.name));
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
