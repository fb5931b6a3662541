#include "verifier/key_certification.h"

#include <fmt/format.h>

#include <optional>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "evidence/envelope.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr uint16_t kAlgEcdsa = 0x0018;

std::optional<HashAlgorithm> SchemeHash(uint16_t algorithm) {
  switch (algorithm) {
    case 0x000B:
      return HashAlgorithm::kSha256;
    case 0x000C:
      return HashAlgorithm::kSha384;
    default:
      return std::nullopt;
  }
}

std::string Label(const evidence::KeyCertification& key) {
  return fmt::format("key {} epoch {}", ToString(key.purpose), key.epoch);
}

CheckResult CheckCertifyInfo(const evidence::KeyCertification& key,
                             const evidence::EccPublicArea& area,
                             const evidence::Attest& info,
                             const Anchors::Host& host) {
  const std::string label = Label(key);
  if (info.magic != evidence::kTpmGenerated) {
    return CheckResult::Fail(reason::kCertificationMagic, label,
                             fmt::format("{:#010x}", evidence::kTpmGenerated),
                             fmt::format("{:#010x}", info.magic));
  }
  if (info.type != evidence::kTpmStAttestCertify) {
    return CheckResult::Fail(
        reason::kCertificationType, label,
        fmt::format("{:#06x}", evidence::kTpmStAttestCertify),
        fmt::format("{:#06x}", info.type));
  }
  if (info.qualified_signer != host.ak_qualified_name) {
    return CheckResult::Fail(reason::kCertificationSigner, label,
                             ToHex(host.ak_qualified_name),
                             ToHex(info.qualified_signer));
  }
  const DigestBytes qualifying =
      evidence::CertifyQualifyingData(key.purpose, key.epoch);
  if (info.extra_data != qualifying) {
    return CheckResult::Fail(reason::kCertificationPurpose, label,
                             ToHex(qualifying), ToHex(info.extra_data));
  }
  if (info.certified_name != area.name) {
    return CheckResult::Fail(reason::kCertificationName, label + " name",
                             ToHex(area.name), ToHex(info.certified_name));
  }
  if (const Bytes expected = QualifiedName(area);
      expected.empty() || info.certified_qualified_name != expected) {
    return CheckResult::Fail(reason::kCertificationName,
                             label + " qualified name", ToHex(expected),
                             ToHex(info.certified_qualified_name));
  }
  return CheckResult::Pass();
}

}  // namespace

Bytes QualifiedName(const evidence::EccPublicArea& key) {
  return evidence::PrimaryQualifiedName(evidence::kTpmRhEndorsement, key.name)
      .value_or(Bytes());
}

bool SignatureHolds(const evidence::EccPublicArea& key, ByteView message,
                    const evidence::EcdsaSignature& signature) {
  const std::optional<HashAlgorithm> hash = SchemeHash(signature.hash);
  return hash && key.scheme == kAlgEcdsa && key.scheme_hash == signature.hash &&
         VerifyEcdsa(key.key, Hash(*hash, message), signature.r, signature.s);
}

CheckResult CheckSigningKey(const evidence::EccPublicArea& key,
                            std::string_view which) {
  if (!evidence::IsRestrictedSigningKey(key.attributes)) {
    return CheckResult::Fail(
        reason::kKeyAttributes, fmt::format("{} attributes", which),
        "restricted sign, fixedTPM, fixedParent, sensitiveDataOrigin, "
        "not decrypt",
        fmt::format("{:#010x}", key.attributes));
  }
  if (key.scheme != kAlgEcdsa || !SchemeHash(key.scheme_hash)) {
    return CheckResult::Fail(
        reason::kKeyAttributes, fmt::format("{} scheme", which),
        "ECDSA with SHA-256 or SHA-384",
        fmt::format("{:#06x} with {:#06x}", key.scheme, key.scheme_hash));
  }
  return CheckResult::Pass();
}

CheckResult CheckCertification(const evidence::KeyCertification& key,
                               const evidence::EccPublicArea& area,
                               const Anchors::Host& host) {
  const std::string label = Label(key);
  if (area.name == host.ak.name || area.name == host.ek_name) {
    return CheckResult::Fail(reason::kKeyReused, label, "a key of its own",
                             area.name == host.ak.name ? "the AK" : "the EK");
  }
  if (const auto pinned = host.purposes.find(area.name);
      pinned != host.purposes.end() && pinned->second != key.purpose) {
    return CheckResult::Fail(reason::kKeyReused, label,
                             std::string(ToString(key.purpose)),
                             fmt::format("the key is pinned for purpose {}",
                                         ToString(pinned->second)));
  }
  if (CheckResult result = CheckSigningKey(area, label); !result.passed()) {
    return result;
  }
  const absl::StatusOr<evidence::Attest> info =
      evidence::ParseAttest(key.certify_info);
  const absl::StatusOr<evidence::EcdsaSignature> signature =
      evidence::ParseEcdsaSignature(key.signature);
  if (!info.ok() || !signature.ok()) {
    return CheckResult::Fail(
        reason::kCertificationMalformed, label,
        "TPMS_ATTEST and an ECDSA TPMT_SIGNATURE",
        std::string(info.ok() ? signature.status().message()
                              : info.status().message()));
  }
  if (!SignatureHolds(host.ak, key.certify_info, *signature)) {
    return CheckResult::Fail(
        reason::kCertificationSignature, label,
        "a signature by the AK of host " + host.identity.host_id,
        "the signature does not verify");
  }
  return CheckCertifyInfo(key, area, *info, host);
}

}  // namespace vmattest::verifier
