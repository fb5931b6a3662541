#include <fmt/format.h>

#include <algorithm>

#include "crypto/ml_dsa.h"
#include "verifier/checks/checks.h"
#include "verifier/key_certification.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

std::string Describe(std::string_view algorithm, KeyPurpose purpose,
                     uint32_t epoch) {
  return fmt::format("{} key, {} epoch {}", algorithm, ToString(purpose),
                     epoch);
}

// What the key is for rests on the anchor alone (rule S4).
CheckResult CheckPinned(const Context& context,
                        const evidence::RawSignature& signature) {
  const std::string& algorithm = context.pq->algorithm;
  const auto found = context.host->pq_keys.find(signature.key_id);
  if (found == context.host->pq_keys.end()) {
    return CheckResult::Fail(reason::kPqKeyUnknown, algorithm + ".key_id",
                             "a key that the anchors list for this host",
                             ToHex(signature.key_id));
  }
  const PqKeyInfo& key = found->second;
  const uint32_t epoch = context.certification->epoch;
  if (key.algorithm != algorithm || key.purpose != context.purpose ||
      key.epoch != epoch) {
    return CheckResult::Fail(reason::kPqKeyPurpose, algorithm + ".key_id",
                             Describe(algorithm, context.purpose, epoch),
                             Describe(key.algorithm, key.purpose, key.epoch));
  }
  return CheckResult::Pass();
}

CheckResult Refuse(const std::string& algorithm, std::string found) {
  return CheckResult::Fail(reason::kPqSignature, algorithm + ".signature",
                           "a signature over the envelope", std::move(found));
}

}  // namespace

CheckResult CheckPqSignature(Context& context) {
  if (context.pq == nullptr) {
    return CheckResult::Pass();
  }
  const std::string& algorithm = context.pq->algorithm;
  const auto& signature = std::get<evidence::RawSignature>(context.pq->body);
  if (CheckResult result = CheckPinned(context, signature); !result.passed()) {
    return result;
  }
  const MlDsaLevel level = ParseMlDsaLevel(algorithm).value();
  if (signature.signature.size() != MlDsaSignatureSize(level)) {
    return Refuse(algorithm,
                  fmt::format("{} bytes", signature.signature.size()));
  }
  const absl::StatusOr<MlDsaPublicKey> key = MlDsaPublicKey::Parse(
      level, context.host->pq_keys.at(signature.key_id).public_key);
  if (!key.ok() && !absl::IsUnavailable(key.status())) {
    return Refuse(algorithm, std::string(key.status().message()));
  }
  if (!key.ok()) {
    const std::vector<std::string>& required =
        context.policy.required_signatures;
    if (std::find(required.begin(), required.end(), algorithm) ==
        required.end()) {
      return CheckResult::Pass();
    }
    return CheckResult::Fail(reason::kPqUnchecked, algorithm,
                             "a verifier that can check it",
                             std::string(key.status().message()));
  }
  const evidence::Envelope& envelope = context.evidence.envelope;
  if (!key->Verify(
          evidence::PreAuthEncoding(envelope.payload_type, envelope.payload),
          evidence::kMlDsaContext, signature.signature)) {
    return Refuse(algorithm, "the signature does not verify");
  }
  context.pq_verified = true;
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
