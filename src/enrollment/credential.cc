#include "enrollment/credential.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include <utility>

#include "crypto/digest.h"
#include "crypto/openssl_errors.h"
#include "enrollment/ek_public.h"
#include "enrollment/tpm_kdf.h"

namespace vmattest::enrollment {
namespace {

constexpr size_t kMinSecret = 16;
constexpr size_t kMaxSecret = 32;
constexpr std::string_view kLabel = "IDENTITY";
constexpr std::string_view kProofDomain = "vmattest/enroll/v1";

struct Seed {
  SecretBytes value;
  Bytes encrypted;  // TPM2B_ENCRYPTED_SECRET
};

void Sized16(ByteWriter& writer, ByteView bytes) {
  writer.U16(static_cast<uint16_t>(bytes.size())).Raw(bytes);
}

Bytes Coordinate(const EVP_PKEY* key, const char* name, size_t size) {
  BIGNUM* raw = nullptr;
  const int got = EVP_PKEY_get_bn_param(key, name, &raw);
  const BignumHandle number(raw);
  Bytes bytes(size);
  RequireOpenSsl(got == 1 && BN_bn2binpad(number.get(), bytes.data(),
                                          static_cast<int>(size)) >= 0,
                 "reading a point");
  return bytes;
}

SecretBytes Ecdh(EVP_PKEY* own, EVP_PKEY* peer) {
  const EvpPkeyCtxHandle context(
      EVP_PKEY_CTX_new_from_pkey(nullptr, own, nullptr));
  size_t size = 0;
  RequireOpenSsl(context && EVP_PKEY_derive_init(context.get()) == 1 &&
                     EVP_PKEY_derive_set_peer(context.get(), peer) == 1 &&
                     EVP_PKEY_derive(context.get(), nullptr, &size) == 1,
                 "EVP_PKEY_derive_init");
  Bytes z(size);
  RequireOpenSsl(EVP_PKEY_derive(context.get(), z.data(), &size) == 1,
                 "EVP_PKEY_derive");
  return SecretBytes(std::move(z));
}

// Part 1, C.6.4.
Seed ShareByEcdh(const EkPublic& ek) {
  const bool p256 = ek.curve == EcCurve::kP256;
  const size_t size = p256 ? 32 : 48;
  const EvpPkeyHandle ephemeral(EVP_EC_gen(p256 ? "P-256" : "P-384"));
  RequireOpenSsl(ephemeral != nullptr, "EVP_EC_gen");
  const Bytes x = Coordinate(ephemeral.get(), OSSL_PKEY_PARAM_EC_PUB_X, size);
  ByteWriter point;
  Sized16(point, x);
  Sized16(point, Coordinate(ephemeral.get(), OSSL_PKEY_PARAM_EC_PUB_Y, size));
  ByteWriter encrypted;
  Sized16(encrypted, point.bytes());
  // The EK's x goes in as its TPM has it: TPMs that do not pad their public
  // area do not pad it here either.
  return {Kdfe(ek.name_hash, Ecdh(ephemeral.get(), ek.key.get()), kLabel, x,
               ek.x, DigestSize(ek.name_hash)),
          std::move(encrypted).Take()};
}

// Part 1, B.10.4: RSAES-OAEP with the name algorithm, the label with its 0x00.
absl::StatusOr<Seed> ShareByRsa(const EkPublic& ek) {
  ASSIGN_OR_RETURN(SecretBytes seed, MakeSecret(DigestSize(ek.name_hash)));
  const EvpPkeyCtxHandle context(
      EVP_PKEY_CTX_new_from_pkey(nullptr, ek.key.get(), nullptr));
  const EvpMdHandle digest(
      EVP_MD_fetch(nullptr, TpmHashName(ek.name_hash), nullptr));
  constexpr size_t kLabelSize = kLabel.size() + 1;
  void* label = OPENSSL_memdup("IDENTITY", kLabelSize);
  RequireOpenSsl(
      context && digest && label != nullptr &&
          EVP_PKEY_encrypt_init(context.get()) == 1 &&
          EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) ==
              1 &&
          EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), digest.get()) == 1 &&
          EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), digest.get()) == 1 &&
          EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), label, kLabelSize) ==
              1,
      "EVP_PKEY_encrypt_init");
  const ByteView plain = seed.Reveal(SecretAccess());
  Bytes cipher(ek.modulus_bits / 8);
  size_t size = cipher.size();
  if (EVP_PKEY_encrypt(context.get(), cipher.data(), &size, plain.data(),
                       plain.size()) != 1) {
    return absl::InvalidArgumentError("EK: nothing can be encrypted to it: " +
                                      DrainOpenSslErrors());
  }
  cipher.resize(size);
  ByteWriter encrypted;
  Sized16(encrypted, cipher);
  return Seed{std::move(seed), std::move(encrypted).Take()};
}

Bytes EncryptCfb(const SecretBytes& key, ByteView plain) {
  const ByteView raw = key.Reveal(SecretAccess());
  const Bytes no_iv(16, 0);
  const EvpCipherCtxHandle context(EVP_CIPHER_CTX_new());
  Bytes cipher(plain.size());
  int size = 0;
  RequireOpenSsl(
      context &&
          EVP_EncryptInit_ex2(
              context.get(),
              raw.size() == 16 ? EVP_aes_128_cfb128() : EVP_aes_256_cfb128(),
              raw.data(), no_iv.data(), nullptr) == 1 &&
          EVP_EncryptUpdate(context.get(), cipher.data(), &size, plain.data(),
                            static_cast<int>(plain.size())) == 1,
      "AES-CFB");
  return cipher;
}

Bytes Hmac(HashAlgorithm hash, const SecretBytes& key, ByteView data) {
  const ByteView raw = key.Reveal(SecretAccess());
  Bytes mac(DigestSize(hash));
  size_t size = 0;
  RequireOpenSsl(EVP_Q_mac(nullptr, "HMAC", nullptr, TpmHashName(hash), nullptr,
                           raw.data(), raw.size(), data.data(), data.size(),
                           mac.data(), mac.size(), &size) != nullptr,
                 "HMAC");
  return mac;
}

// Part 1, 24.4 and 24.5: the secret with its size, encrypted; the HMAC over
// that and the object's name.
Bytes Protect(const EkPublic& ek, const SecretBytes& seed, ByteView name,
              const SecretBytes& secret) {
  ByteWriter sized;
  Sized16(sized, secret.Reveal(SecretAccess()));
  const SecretBytes plain(std::move(sized).Take());
  const Bytes cipher = EncryptCfb(
      Kdfa(ek.name_hash, seed, "STORAGE", name, ek.symmetric_bits / 8),
      plain.Reveal(SecretAccess()));
  ByteWriter covered;
  covered.Raw(cipher).Raw(name);
  const Bytes mac =
      Hmac(ek.name_hash,
           Kdfa(ek.name_hash, seed, "INTEGRITY", {}, DigestSize(ek.name_hash)),
           covered.bytes());
  ByteWriter id_object;
  Sized16(id_object, mac);
  id_object.Raw(cipher);
  ByteWriter blob;
  Sized16(blob, id_object.bytes());
  return std::move(blob).Take();
}

bool IsName(ByteView name) {
  return (name.size() == 2 + 32 && name[0] == 0x00 && name[1] == 0x0B) ||
         (name.size() == 2 + 48 && name[0] == 0x00 && name[1] == 0x0C);
}

}  // namespace

absl::StatusOr<Credential> MakeCredential(ByteView ek_public,
                                          ByteView object_name,
                                          const SecretBytes& secret) {
  const OpenSslErrorScope errors;
  if (secret.size() < kMinSecret || secret.size() > kMaxSecret) {
    return absl::InvalidArgumentError(
        fmt::format("a secret of {} bytes, not 16 to 32", secret.size()));
  }
  if (!IsName(object_name)) {
    return absl::InvalidArgumentError("not the name of a TPM object");
  }
  ASSIGN_OR_RETURN(const EkPublic ek, ParseEkPublic(ek_public));
  Seed seed;
  if (ek.type == EkPublic::Type::kEcc) {
    seed = ShareByEcdh(ek);
  } else {
    ASSIGN_OR_RETURN(seed, ShareByRsa(ek));
  }
  return Credential{Protect(ek, seed.value, object_name, secret),
                    std::move(seed.encrypted)};
}

Bytes EnrollmentProof(const SecretBytes& secret, ByteView identity) {
  ByteWriter message;
  message.Raw(kProofDomain).U8(0).Raw(Hash(HashAlgorithm::kSha256, identity));
  return HmacSha256(secret, message.bytes());
}

}  // namespace vmattest::enrollment
