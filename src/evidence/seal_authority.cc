#include "evidence/seal_authority.h"

#include <fmt/format.h>

#include "base/file.h"
#include "evidence/tpm_structures.h"

namespace vmattest::evidence {
namespace {

constexpr size_t kMaxPem = 16 * 1024;
constexpr size_t kCoordinateSize = 32;
constexpr mode_t kOwnerOnly = 0600;
// TPM_ALG_ID, TPM_ECC_CURVE (TCG Algorithm Registry).
constexpr uint16_t kAlgSha256 = 0x000B;
constexpr uint16_t kAlgNull = 0x0010;
constexpr uint16_t kAlgEcdsa = 0x0018;
constexpr uint16_t kAlgEcc = 0x0023;
constexpr uint16_t kCurveP256 = 0x0003;
constexpr uint32_t kAuthorityAttributes = 1u << 6 | 1u << 18;  // sign

void Sized16(ByteWriter& writer, ByteView bytes) {
  writer.U16(static_cast<uint16_t>(bytes.size())).Raw(bytes);
}

}  // namespace

Bytes AuthorityPublic(const EcPublicKey& key) {
  ByteWriter area;
  area.U16(kAlgEcc).U16(kAlgSha256).U32(kAuthorityAttributes);
  area.U16(0);                                        // no policy
  area.U16(kAlgNull).U16(kAlgEcdsa).U16(kAlgSha256);  // scheme
  area.U16(kCurveP256).U16(kAlgNull);                 // no KDF
  Sized16(area, key.x);
  Sized16(area, key.y);
  ByteWriter sized;
  Sized16(sized, area.bytes());
  return std::move(sized).Take();
}

absl::StatusOr<Bytes> AuthorityPublic(std::string_view pem) {
  ASSIGN_OR_RETURN_WITH(const EcPublicKey key, ParseP256Pem(pem),
                        "seal authority");
  return AuthorityPublic(key);
}

absl::Status CheckAuthority(ByteView public_area) {
  ASSIGN_OR_RETURN_WITH(const EccPublicArea area, ParseEccPublic(public_area),
                        "seal authority");
  if (area.key.x.size() != kCoordinateSize ||
      area.key.y.size() != kCoordinateSize ||
      AuthorityPublic(area.key) != ToBytes(public_area)) {
    return absl::InvalidArgumentError(
        "seal authority: not a plain ECDSA P-256 signing key with SHA-256");
  }
  return absl::OkStatus();
}

bool ApprovalHolds(const SealApproval& approval, ByteView authority) {
  const auto area = ParseEccPublic(authority);
  const auto signature = ParseEcdsaSignature(approval.signature);
  const auto digest = ApprovalDigest(approval);
  return area.ok() && signature.ok() && digest.ok() &&
         CheckAuthority(authority).ok() && signature->hash == kAlgSha256 &&
         VerifyEcdsa(area->key, *digest, signature->r, signature->s);
}

SealAuthority::SealAuthority(EcPrivateKey key)
    : key_(std::move(key)), public_area_(AuthorityPublic(key_.public_key())) {}

absl::StatusOr<SealAuthority> SealAuthority::Load(
    const std::filesystem::path& path) {
  ASSIGN_OR_RETURN_WITH(Bytes text, ReadFile(path, kMaxPem), "seal authority");
  const SecretBytes pem(std::move(text));
  ASSIGN_OR_RETURN_WITH(EcPrivateKey key, EcPrivateKey::FromPem(pem),
                        fmt::format("seal authority: {}", path.string()));
  return SealAuthority(std::move(key));
}

absl::StatusOr<SealAuthority> SealAuthority::LoadOrGenerate(
    const std::filesystem::path& path) {
  absl::StatusOr<SealAuthority> loaded = Load(path);
  if (loaded.status().code() != absl::StatusCode::kNotFound) {
    return loaded;
  }
  EcPrivateKey key = EcPrivateKey::Generate();
  RETURN_IF_ERROR_WITH(
      WriteFileAtomic(path, key.ToPem().Reveal(SecretAccess()), kOwnerOnly),
      "keeping the seal authority");
  return SealAuthority(std::move(key));
}

absl::Status SealAuthority::Sign(SealApproval& approval) const {
  ASSIGN_OR_RETURN(const DigestBytes digest, ApprovalDigest(approval));
  const EcPrivateKey::Signature made = key_.SignDigest(digest);
  ByteWriter signature;
  signature.U16(kAlgEcdsa).U16(kAlgSha256);
  Sized16(signature, made.r);
  Sized16(signature, made.s);
  approval.signature = std::move(signature).Take();
  return absl::OkStatus();
}

}  // namespace vmattest::evidence
