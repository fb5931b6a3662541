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

// A statement by TPM2_Certify, parsed: that it is one, the AK's, and made for
// what `qualifying` says.
CheckResult CheckAkStatement(const std::string& label,
                             const evidence::Attest& info,
                             const DigestBytes& qualifying,
                             const Anchors::Host& host) {
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
  if (info.extra_data != qualifying) {
    return CheckResult::Fail(reason::kCertificationPurpose, label,
                             ToHex(qualifying), ToHex(info.extra_data));
  }
  return CheckResult::Pass();
}

// Parses `certify_info` into `info`.
CheckResult CheckAkSigned(const std::string& label, ByteView certify_info,
                          ByteView signature, const DigestBytes& qualifying,
                          const Anchors::Host& host, evidence::Attest& info) {
  absl::StatusOr<evidence::Attest> parsed = evidence::ParseAttest(certify_info);
  const absl::StatusOr<evidence::EcdsaSignature> ecdsa =
      evidence::ParseEcdsaSignature(signature);
  if (!parsed.ok() || !ecdsa.ok()) {
    return CheckResult::Fail(
        reason::kCertificationMalformed, label,
        "TPMS_ATTEST and an ECDSA TPMT_SIGNATURE",
        std::string(parsed.ok() ? ecdsa.status().message()
                                : parsed.status().message()));
  }
  if (!SignatureHolds(host.ak, certify_info, *ecdsa)) {
    return CheckResult::Fail(
        reason::kCertificationSignature, label,
        "a signature by the AK of host " + host.identity.host_id,
        "the signature does not verify");
  }
  info = *std::move(parsed);
  return CheckAkStatement(label, info, qualifying, host);
}

CheckResult CheckCertifiedKey(const std::string& label,
                              const evidence::EccPublicArea& area,
                              const evidence::Attest& info) {
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
  evidence::Attest info;
  if (CheckResult result = CheckAkSigned(
          label, key.certify_info, key.signature,
          evidence::CertifyQualifyingData(key.purpose, key.epoch), host, info);
      !result.passed()) {
    return result;
  }
  return CheckCertifiedKey(label, area, info);
}

CheckResult CheckRevocation(const evidence::KeyRevocation& revocation,
                            const Anchors::Host& host) {
  const std::string label =
      fmt::format("revocation of key {} epoch {}", ToString(revocation.purpose),
                  revocation.epoch);
  evidence::Attest info;
  if (CheckResult result = CheckAkSigned(
          label, revocation.certify_info, revocation.signature,
          evidence::RevokeQualifyingData(revocation.purpose, revocation.epoch),
          host, info);
      !result.passed()) {
    return result;
  }
  if (revocation.key_name.empty() ||
      info.certified_name != revocation.key_name) {
    return CheckResult::Fail(reason::kCertificationName, label + " name",
                             ToHex(revocation.key_name),
                             ToHex(info.certified_name));
  }
  return CheckResult::Pass();
}

bool IsRevoked(const evidence::KeyCertification& key,
               const evidence::EccPublicArea& area, const Anchors::Host& host) {
  return host.revoked_names.contains(area.name) ||
         host.revoked_epochs.contains({key.purpose, key.epoch});
}

}  // namespace vmattest::verifier
