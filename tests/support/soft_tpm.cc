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
// PolicySecret(endorsement), SHA-256: PolicyA of the TCG's EK templates.
constexpr std::string_view kPolicyA =
    "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";

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

ByteView ReadSized16(ByteReader& reader) {
  const uint16_t size = reader.U16();
  return reader.Raw(size);
}

// KDFa with one block, SHA-256 (Part 1, 11.4.10.2).
Bytes OneBlockKdfa(const SecretBytes& key, std::string_view label,
                   ByteView context, uint32_t bits) {
  ByteWriter block;
  block.U32(1).Raw(label).U8(0).Raw(context).U32(bits);
  Bytes derived = HmacSha256(key, block.bytes());
  derived.resize(bits / 8);
  return derived;
}

// KDFe with one block, SHA-256 (11.4.10.3).
Bytes OneBlockKdfe(ByteView z, std::string_view label, ByteView u, ByteView v) {
  ByteWriter block;
  block.U32(1).Raw(z).Raw(label).U8(0).Raw(u).Raw(v);
  return Hash(HashAlgorithm::kSha256, block.bytes());
}

PkeyHandle ImportP256(ByteView x, ByteView y) {
  ByteWriter point;
  point.U8(4).Raw(x).Raw(y);
  Bytes encoded = std::move(point).Take();
  char curve[] = "P-256";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, curve, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, encoded.data(),
                                        encoded.size()),
      OSSL_PARAM_construct_end()};
  const PkeyCtxHandle context(
      EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params) !=
          1) {
    return nullptr;
  }
  return PkeyHandle(key);
}

Bytes Ecdh(EVP_PKEY* own, EVP_PKEY* peer) {
  const PkeyCtxHandle context(EVP_PKEY_CTX_new(own, nullptr));
  Bytes z(kP256Size);
  size_t size = z.size();
  Require(EVP_PKEY_derive_init(context.get()) == 1 &&
              EVP_PKEY_derive_set_peer(context.get(), peer) == 1 &&
              EVP_PKEY_derive(context.get(), z.data(), &size) == 1,
          "EVP_PKEY_derive");
  return z;
}

Bytes DecryptCfb(const Bytes& key, ByteView cipher) {
  const std::unique_ptr<EVP_CIPHER_CTX, Closer<EVP_CIPHER_CTX_free>> context(
      EVP_CIPHER_CTX_new());
  const Bytes no_iv(16, 0);
  Bytes plain(cipher.size());
  int size = 0;
  Require(
      EVP_DecryptInit_ex(context.get(), EVP_aes_128_cfb128(), nullptr,
                         key.data(), no_iv.data()) == 1 &&
          EVP_DecryptUpdate(context.get(), plain.data(), &size, cipher.data(),
                            static_cast<int>(cipher.size())) == 1,
      "AES-CFB");
  return plain;
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
      .auth_policy = decrypt ? ParseHex(kPolicyA).value() : Bytes(),
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

absl::StatusOr<SecretBytes> SoftKey::Activate(ByteView object_name,
                                              ByteView credential_blob,
                                              ByteView encrypted_secret) const {
  const absl::Status refused = absl::InvalidArgumentError(
      "the credential was not made for this TPM and its AK");
  ByteReader sized_point(encrypted_secret);
  ByteReader point(ReadSized16(sized_point));
  const ByteView x = ReadSized16(point);
  const ByteView y = ReadSized16(point);
  ByteReader sized_blob(credential_blob);
  const ByteView blob = ReadSized16(sized_blob);
  ByteReader id_object(blob);
  const ByteView mac = ReadSized16(id_object);
  const ByteView cipher = id_object.Raw(id_object.remaining());
  if (!sized_point.AtEnd() || !point.AtEnd() || !sized_blob.AtEnd() ||
      !id_object.ok() || x.size() != kP256Size || y.size() != kP256Size) {
    return refused;
  }
  const PkeyHandle ephemeral = ImportP256(x, y);
  if (ephemeral == nullptr) {
    return refused;
  }
  const SecretBytes seed(
      OneBlockKdfe(Ecdh(key_->pkey.get(), ephemeral.get()), "IDENTITY", x,
                   Coordinate(key_->pkey.get(), OSSL_PKEY_PARAM_EC_PUB_X)));
  ByteWriter covered;
  covered.Raw(cipher).Raw(object_name);
  if (!ConstantTimeEqual(
          mac, HmacSha256(SecretBytes(OneBlockKdfa(seed, "INTEGRITY", {}, 256)),
                          covered.bytes()))) {
    return refused;
  }
  const Bytes plain =
      DecryptCfb(OneBlockKdfa(seed, "STORAGE", object_name, 128), cipher);
  ByteReader secret(plain);
  Bytes value = ToBytes(ReadSized16(secret));
  return secret.AtEnd()
             ? absl::StatusOr<SecretBytes>(SecretBytes(std::move(value)))
             : refused;
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
