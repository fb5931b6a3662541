#include "support/soft_tpm.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <stdexcept>
#include <utility>

#include "base/handles.h"
#include "crypto/digest.h"
#include "evidence/envelope.h"

namespace vmattest::testing {
namespace {

constexpr uint16_t kTpmAlgAes = 0x0006;
constexpr uint16_t kTpmAlgEcc = 0x0023;
constexpr uint16_t kTpmAlgCfb = 0x0043;
constexpr uint16_t kCurveP256 = 0x0003;
constexpr uint16_t kCurveP384 = 0x0004;
constexpr uint32_t kDecrypt = 1u << 17;
constexpr size_t kP256Size = 32;

using BignumHandle = std::unique_ptr<BIGNUM, Closer<BN_free>>;
using EcdsaSigHandle = std::unique_ptr<ECDSA_SIG, Closer<ECDSA_SIG_free>>;
using PkeyHandle = std::unique_ptr<EVP_PKEY, Closer<EVP_PKEY_free>>;
using PkeyCtxHandle = std::unique_ptr<EVP_PKEY_CTX, Closer<EVP_PKEY_CTX_free>>;

void Require(bool ok, const char* what) {
  if (!ok) {
    throw std::runtime_error(what);
  }
}

void Sized16(ByteWriter& writer, ByteView bytes) {
  writer.U16(static_cast<uint16_t>(bytes.size())).Raw(bytes);
}

Bytes Padded(const BIGNUM* number) {
  Bytes bytes(kP256Size);
  Require(BN_bn2binpad(number, bytes.data(), kP256Size) == kP256Size,
          "BN_bn2binpad");
  return bytes;
}

Bytes Coordinate(const EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  Require(EVP_PKEY_get_bn_param(key, name, &number) == 1, "no coordinate");
  return Padded(BignumHandle(number).get());
}

}  // namespace

Bytes EncodeAttest(const evidence::Attest& attest) {
  ByteWriter writer;
  writer.U32(attest.magic).U16(attest.type);
  Sized16(writer, attest.qualified_signer);
  Sized16(writer, attest.extra_data);
  writer.U64(attest.clock.clock_ms)
      .U32(attest.clock.reset_count)
      .U32(attest.clock.restart_count)
      .U8(attest.clock.safe ? 1 : 0)
      .U64(attest.firmware_version);
  if (attest.type == evidence::kTpmStAttestCertify) {
    Sized16(writer, attest.certified_name);
    Sized16(writer, attest.certified_qualified_name);
    return std::move(writer).Take();
  }
  if (attest.type == evidence::kTpmStAttestCreation) {
    Sized16(writer, attest.created_name);
    Sized16(writer, attest.creation_hash);
    return std::move(writer).Take();
  }
  if (attest.type == evidence::kTpmStAttestNv) {
    Sized16(writer, attest.nv_index_name);
    writer.U16(attest.nv_offset);
    Sized16(writer, attest.nv_contents);
    return std::move(writer).Take();
  }
  writer.U32(static_cast<uint32_t>(attest.pcr_selections.size()));
  for (const evidence::PcrSelection& selection : attest.pcr_selections) {
    Bytes bitmap(3, 0);
    for (const uint32_t index : selection.indexes) {
      bitmap.at(index / 8) |= static_cast<uint8_t>(1u << (index % 8));
    }
    writer.U16(selection.bank).U8(3).Raw(bitmap);
  }
  Sized16(writer, attest.pcr_digest);
  return std::move(writer).Take();
}

Bytes EncodeEcdsaSignature(const evidence::EcdsaSignature& signature) {
  ByteWriter writer;
  writer.U16(kTpmAlgEcdsa).U16(signature.hash);
  Sized16(writer, signature.r);
  Sized16(writer, signature.s);
  return std::move(writer).Take();
}

Bytes EncodeEccPublic(const evidence::EccPublicArea& area) {
  ByteWriter writer;
  writer.U16(kTpmAlgEcc).U16(area.name_algorithm).U32(area.attributes);
  Sized16(writer, area.auth_policy);
  if ((area.attributes & kDecrypt) != 0) {
    writer.U16(kTpmAlgAes).U16(128).U16(kTpmAlgCfb);
  } else {
    writer.U16(kTpmAlgNull);
  }
  writer.U16(area.scheme);
  if (area.scheme != kTpmAlgNull) {
    writer.U16(area.scheme_hash);
  }
  writer.U16(area.key.curve == EcCurve::kP256 ? kCurveP256 : kCurveP384);
  writer.U16(kTpmAlgNull);  // kdf
  Sized16(writer, area.key.x);
  Sized16(writer, area.key.y);
  ByteWriter sized;
  Sized16(sized, writer.bytes());
  return std::move(sized).Take();
}

struct SoftKey::Key {
  PkeyHandle pkey;
};

SoftKey::SoftKey(uint32_t attributes) : key_(std::make_unique<Key>()) {
  key_->pkey.reset(EVP_EC_gen("P-256"));
  Require(key_->pkey != nullptr, "EVP_EC_gen");
  const bool decrypt = (attributes & kDecrypt) != 0;
  const evidence::EccPublicArea area = {
      .name_algorithm = kTpmAlgSha256,
      .attributes = attributes,
      .auth_policy = decrypt ? Bytes(32, 0x83) : Bytes(),
      .scheme = decrypt ? kTpmAlgNull : kTpmAlgEcdsa,
      .scheme_hash = kTpmAlgSha256,
      .key = {EcCurve::kP256,
              Coordinate(key_->pkey.get(), OSSL_PKEY_PARAM_EC_PUB_X),
              Coordinate(key_->pkey.get(), OSSL_PKEY_PARAM_EC_PUB_Y)},
      .name = {}};
  public_area_ = EncodeEccPublic(area);
  name_ = evidence::NameOf(public_area_).value();
  qualified_name_ =
      evidence::PrimaryQualifiedName(evidence::kTpmRhEndorsement, name_)
          .value();
}

SoftKey::SoftKey(SoftKey&&) noexcept = default;
SoftKey& SoftKey::operator=(SoftKey&&) noexcept = default;
SoftKey::~SoftKey() = default;

SoftKey SoftKey::Copy() const {
  SoftKey copy;
  Require(EVP_PKEY_up_ref(key_->pkey.get()) == 1, "EVP_PKEY_up_ref");
  copy.key_->pkey.reset(key_->pkey.get());
  copy.public_area_ = public_area_;
  copy.name_ = name_;
  copy.qualified_name_ = qualified_name_;
  return copy;
}

Bytes SoftKey::Sign(ByteView message) const {
  const DigestBytes digest = Hash(HashAlgorithm::kSha256, message);
  const PkeyCtxHandle context(
      EVP_PKEY_CTX_new_from_pkey(nullptr, key_->pkey.get(), nullptr));
  Require(context && EVP_PKEY_sign_init(context.get()) == 1, "sign_init");
  Bytes der(80);
  size_t size = der.size();
  Require(EVP_PKEY_sign(context.get(), der.data(), &size, digest.data(),
                        digest.size()) == 1,
          "EVP_PKEY_sign");
  const uint8_t* cursor = der.data();
  const EcdsaSigHandle parsed(
      d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(size)));
  Require(parsed != nullptr, "d2i_ECDSA_SIG");
  return EncodeEcdsaSignature({.hash = kTpmAlgSha256,
                               .r = Padded(ECDSA_SIG_get0_r(parsed.get())),
                               .s = Padded(ECDSA_SIG_get0_s(parsed.get()))});
}

SoftHost::SoftHost(std::string name) : hostname(std::move(name)) {
  for (const KeyPurpose purpose :
       {KeyPurpose::kConfig, KeyPurpose::kState, KeyPurpose::kProfile,
        KeyPurpose::kLiveness, KeyPurpose::kLedger,
        KeyPurpose::kAuthorization}) {
    purpose_keys.emplace(purpose, SoftKey());
  }
}

std::string SoftHost::host_id() const {
  return ToHex(ByteView(ek.name()).subspan(2));
}

evidence::Attest SoftHost::CertifyInfo(KeyPurpose purpose,
                                       const SoftKey& key) const {
  return {.magic = evidence::kTpmGenerated,
          .type = evidence::kTpmStAttestCertify,
          .qualified_signer = ak.qualified_name(),
          .extra_data = evidence::CertifyQualifyingData(purpose, epoch),
          .clock = provisioned_at,
          .firmware_version = 0x2024'0123'0000'0000,
          .pcr_selections = {},
          .pcr_digest = {},
          .certified_name = key.name(),
          .certified_qualified_name = key.qualified_name()};
}

evidence::KeyCertification SoftHost::CertifyWith(
    KeyPurpose purpose, const SoftKey& key,
    const evidence::Attest& info) const {
  const Bytes bytes = EncodeAttest(info);
  return {.purpose = purpose,
          .epoch = epoch,
          .public_area = key.public_area(),
          .certify_info = bytes,
          .signature = ak.Sign(bytes)};
}

evidence::KeyCertification SoftHost::Certify(KeyPurpose purpose) const {
  const SoftKey& key = purpose_keys.at(purpose);
  return CertifyWith(purpose, key, CertifyInfo(purpose, key));
}

evidence::HostIdentity SoftHost::Identity() const {
  evidence::HostIdentity identity;
  identity.host_id = host_id();
  identity.ek_public = ek.public_area();
  identity.ak_public = ak.public_area();
  identity.hostname = hostname;
  identity.module_version = "0.1.0";
  for (const auto& [purpose, key] : purpose_keys) {
    identity.keys.push_back(
        CertifyWith(purpose, key, CertifyInfo(purpose, key)));
  }
  return identity;
}

}  // namespace vmattest::testing
