#include "enrollment/ek_public.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <utility>

#include "crypto/digest.h"
#include "crypto/ec_import.h"
#include "crypto/openssl_errors.h"
#include "evidence/tpm_structures.h"

namespace vmattest::enrollment {
namespace {

using Type = EkPublic::Type;

constexpr uint16_t kAlgRsa = 0x0001;
constexpr uint16_t kAlgAes = 0x0006;
constexpr uint16_t kAlgSha256 = 0x000B;
constexpr uint16_t kAlgSha384 = 0x000C;
constexpr uint16_t kAlgNull = 0x0010;
constexpr uint16_t kAlgEcc = 0x0023;
constexpr uint16_t kAlgCfb = 0x0043;
constexpr uint16_t kCurveP256 = 0x0003;
constexpr uint16_t kCurveP384 = 0x0004;
constexpr uint32_t kSensitiveDataOrigin = 1u << 5;
constexpr uint32_t kRestricted = 1u << 16;
constexpr uint32_t kDecrypt = 1u << 17;
constexpr uint32_t kSign = 1u << 18;
constexpr uint32_t kNeeded = evidence::kObjectFixedTpm |
                             evidence::kObjectFixedParent |
                             kSensitiveDataOrigin | kRestricted | kDecrypt;
constexpr uint32_t kDefaultExponent = 65537;

// Attributes of the low and of the high range, and the policies: PolicyA is
// PolicySecret(endorsement), PolicyB lets an owner's NV index authorise too.
constexpr uint32_t kLow = kNeeded | evidence::kObjectAdminWithPolicy;
constexpr uint32_t kHigh = kLow | evidence::kObjectUserWithAuth;
constexpr std::string_view kPolicyASha256 =
    "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
constexpr std::string_view kPolicyBSha256 =
    "ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0";
constexpr std::string_view kPolicyBSha384 =
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09"
    "699646150f9fc000f3f80e12";

struct Template {
  std::string_view name;
  Type type;
  uint16_t modulus_bits;
  EcCurve curve;
  HashAlgorithm name_hash;
  uint16_t symmetric_bits;
  uint32_t attributes;
  std::string_view policy;
};
constexpr std::array<Template, 6> kTemplates = {{
    {"L-1",
     Type::kRsa,
     2048,
     {},
     HashAlgorithm::kSha256,
     128,
     kLow,
     kPolicyASha256},
    {"L-2", Type::kEcc, 0, EcCurve::kP256, HashAlgorithm::kSha256, 128, kLow,
     kPolicyASha256},
    {"H-1",
     Type::kRsa,
     2048,
     {},
     HashAlgorithm::kSha256,
     128,
     kHigh,
     kPolicyBSha256},
    {"H-2", Type::kEcc, 0, EcCurve::kP256, HashAlgorithm::kSha256, 128, kHigh,
     kPolicyBSha256},
    {"H-3", Type::kEcc, 0, EcCurve::kP384, HashAlgorithm::kSha384, 256, kHigh,
     kPolicyBSha384},
    {"H-6",
     Type::kRsa,
     3072,
     {},
     HashAlgorithm::kSha384,
     256,
     kHigh,
     kPolicyBSha384},
}};

absl::Status Refused(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("EK: {}", what));
}

Bytes Sized16(ByteReader& reader) {
  const uint16_t size = reader.U16();
  return ToBytes(reader.Raw(size));
}

// Null for what is no key of that size.
EvpPkeyHandle ImportRsaKey(const Bytes& modulus, uint32_t exponent) {
  const BignumHandle n(
      BN_bin2bn(modulus.data(), static_cast<int>(modulus.size()), nullptr));
  const BignumHandle e(BN_new());
  const ParamBuilderHandle builder(OSSL_PARAM_BLD_new());
  RequireOpenSsl(n && e && builder && BN_set_word(e.get(), exponent) == 1 &&
                     OSSL_PARAM_BLD_push_BN(
                         builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) == 1 &&
                     OSSL_PARAM_BLD_push_BN(
                         builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) == 1,
                 "describing an RSA key");
  const ParamHandle params(OSSL_PARAM_BLD_to_param(builder.get()));
  const EvpPkeyCtxHandle context(
      EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* imported = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &imported, EVP_PKEY_PUBLIC_KEY,
                        params.get()) != 1) {
    return nullptr;
  }
  return EvpPkeyHandle(imported);
}

absl::Status ReadRsa(ByteReader& reader, EkPublic& ek) {
  ek.type = Type::kRsa;
  ek.modulus_bits = reader.U16();
  ek.exponent = reader.U32();
  const Bytes modulus = Sized16(reader);
  if (ek.modulus_bits != 2048 && ek.modulus_bits != 3072) {
    return Refused(fmt::format("RSA of {} bits", ek.modulus_bits));
  }
  if (modulus.size() * 8 != ek.modulus_bits || (modulus.front() & 0x80) == 0 ||
      (modulus.back() & 1) == 0) {
    return Refused("its modulus is none of that size");
  }
  if (ek.exponent != 0 && ek.exponent != kDefaultExponent) {
    return Refused(fmt::format("public exponent {}", ek.exponent));
  }
  ek.key = ImportRsaKey(modulus, kDefaultExponent);
  return ek.key ? absl::OkStatus() : Refused("not an RSA key");
}

absl::Status ReadEcc(ByteReader& reader, EkPublic& ek) {
  ek.type = Type::kEcc;
  const uint16_t curve = reader.U16();
  const uint16_t kdf = reader.U16();
  ek.x = Sized16(reader);
  const Bytes y = Sized16(reader);
  if (curve != kCurveP256 && curve != kCurveP384) {
    return Refused(fmt::format("curve {:#06x}", curve));
  }
  if (kdf != kAlgNull) {
    return Refused(fmt::format("key derivation {:#06x}", kdf));
  }
  ek.curve = curve == kCurveP256 ? EcCurve::kP256 : EcCurve::kP384;
  ek.key = ImportEcKey({ek.curve, ek.x, y});
  return ek.key ? absl::OkStatus() : Refused("not a point on the curve");
}

absl::Status ReadSymmetric(ByteReader& reader, EkPublic& ek) {
  const uint16_t algorithm = reader.U16();
  ek.symmetric_bits = reader.U16();
  const uint16_t mode = reader.U16();
  if (algorithm != kAlgAes || mode != kAlgCfb ||
      (ek.symmetric_bits != 128 && ek.symmetric_bits != 256)) {
    return Refused(fmt::format("symmetric algorithm {:#06x}-{}, mode {:#06x}",
                               algorithm, ek.symmetric_bits, mode));
  }
  if (const uint16_t scheme = reader.U16(); scheme != kAlgNull) {
    return Refused(fmt::format("scheme {:#06x}", scheme));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EkPublic> ParseEkPublic(ByteView tpm2b_public) {
  const OpenSslErrorScope errors;
  RETURN_IF_ERROR_WITH(evidence::NameOf(tpm2b_public).status(), "EK");
  ByteReader reader(tpm2b_public.subspan(2));
  EkPublic ek;
  const uint16_t type = reader.U16();
  const uint16_t name_hash = reader.U16();
  ek.name_hash =
      name_hash == kAlgSha256 ? HashAlgorithm::kSha256 : HashAlgorithm::kSha384;
  ek.attributes = reader.U32();
  ek.auth_policy = Sized16(reader);
  if (!reader.ok() || (type != kAlgRsa && type != kAlgEcc)) {
    return Refused("neither an RSA nor an ECC key");
  }
  if (name_hash != kAlgSha256 && name_hash != kAlgSha384) {
    return Refused(fmt::format("name algorithm {:#06x}", name_hash));
  }
  if ((ek.attributes & kNeeded) != kNeeded || (ek.attributes & kSign) != 0) {
    return Refused(
        fmt::format("attributes {:#010x}: not a restricted decryption key that "
                    "its TPM made and keeps",
                    ek.attributes));
  }
  RETURN_IF_ERROR(ReadSymmetric(reader, ek));
  RETURN_IF_ERROR(type == kAlgRsa ? ReadRsa(reader, ek) : ReadEcc(reader, ek));
  if (!reader.AtEnd()) {
    return Refused("truncated, or bytes after its end");
  }
  return ek;
}

std::string_view EkTemplateOf(const EkPublic& ek) {
  const std::string policy = ToHex(ek.auth_policy);
  for (const Template& candidate : kTemplates) {
    const bool same_kind =
        candidate.type == ek.type &&
        (ek.type == Type::kRsa
             ? candidate.modulus_bits == ek.modulus_bits && ek.exponent == 0
             : candidate.curve == ek.curve);
    if (same_kind && candidate.name_hash == ek.name_hash &&
        candidate.symmetric_bits == ek.symmetric_bits &&
        candidate.attributes == ek.attributes && candidate.policy == policy) {
      return candidate.name;
    }
  }
  return {};
}

absl::StatusOr<DigestBytes> EkFingerprint(ByteView tpm2b_public) {
  ASSIGN_OR_RETURN(const EkPublic ek, ParseEkPublic(tpm2b_public));
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(ek.key.get(), &der);
  RequireOpenSsl(size > 0, "i2d_PUBKEY");
  DigestBytes digest =
      Hash(HashAlgorithm::kSha256, ByteView(der, static_cast<size_t>(size)));
  OPENSSL_free(der);
  return digest;
}

}  // namespace vmattest::enrollment
