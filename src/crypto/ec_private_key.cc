#include "crypto/ec_private_key.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>

#include <limits>

#include "crypto/handles.h"
#include "crypto/openssl_errors.h"

namespace vmattest {
namespace {

constexpr char kGroup[] = "prime256v1";
constexpr int kCoordinateSize = 32;

// Never asks a terminal for a passphrase.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::Status NotP256() {
  return absl::InvalidArgumentError(
      "not the PEM of an ECDSA P-256 key that is not encrypted");
}

BioHandle Input(ByteView pem) {
  if (pem.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return nullptr;
  }
  return BioHandle(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

Bytes Coordinate(const EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  RequireOpenSsl(EVP_PKEY_get_bn_param(key, name, &raw) == 1,
                 "reading a coordinate");
  const BignumHandle number(raw);
  Bytes bytes(kCoordinateSize);
  RequireOpenSsl(
      BN_bn2binpad(raw, bytes.data(), kCoordinateSize) == kCoordinateSize,
      "BN_bn2binpad");
  return bytes;
}

absl::StatusOr<EcPublicKey> PublicOf(const EVP_PKEY* key) {
  char group[32] = {};
  size_t size = 0;
  if (key == nullptr || EVP_PKEY_is_a(key, "EC") != 1 ||
      EVP_PKEY_get_group_name(key, group, sizeof(group), &size) != 1 ||
      std::string_view(group) != kGroup) {
    return NotP256();
  }
  return EcPublicKey{.curve = EcCurve::kP256,
                     .x = Coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X),
                     .y = Coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y)};
}

}  // namespace

struct EcPrivateKey::Key {
  EvpPkeyHandle handle;
};

EcPrivateKey::EcPrivateKey(std::unique_ptr<Key> key, EcPublicKey public_key)
    : key_(std::move(key)), public_key_(std::move(public_key)) {}
EcPrivateKey::EcPrivateKey(EcPrivateKey&&) noexcept = default;
EcPrivateKey& EcPrivateKey::operator=(EcPrivateKey&&) noexcept = default;
EcPrivateKey::~EcPrivateKey() = default;

absl::StatusOr<EcPublicKey> ParseP256Pem(std::string_view pem) {
  const OpenSslErrorScope errors;
  const BioHandle input = Input(AsBytes(pem));
  const EvpPkeyHandle key(
      input == nullptr
          ? nullptr
          : PEM_read_bio_PUBKEY(input.get(), nullptr, NoPassphrase, nullptr));
  return PublicOf(key.get());
}

EcPrivateKey EcPrivateKey::Generate() {
  auto key = std::make_unique<Key>();
  key->handle.reset(EVP_EC_gen(kGroup));
  RequireOpenSsl(key->handle != nullptr, "generating a P-256 key");
  absl::StatusOr<EcPublicKey> public_key = PublicOf(key->handle.get());
  RequireOpenSsl(public_key.ok(), "a P-256 key's public half");
  return {std::move(key), *std::move(public_key)};
}

absl::StatusOr<EcPrivateKey> EcPrivateKey::FromPem(const SecretBytes& pem) {
  const OpenSslErrorScope errors;
  const BioHandle input = Input(pem.Reveal(SecretAccess()));
  auto key = std::make_unique<Key>();
  key->handle.reset(input == nullptr
                        ? nullptr
                        : PEM_read_bio_PrivateKey(input.get(), nullptr,
                                                  NoPassphrase, nullptr));
  ASSIGN_OR_RETURN(EcPublicKey public_key, PublicOf(key->handle.get()));
  return EcPrivateKey(std::move(key), std::move(public_key));
}

SecretBytes EcPrivateKey::ToPem() const {
  const BioHandle out(BIO_new(BIO_s_secmem()));
  RequireOpenSsl(out && PEM_write_bio_PKCS8PrivateKey(
                            out.get(), key_->handle.get(), nullptr, nullptr, 0,
                            nullptr, nullptr) == 1,
                 "PEM_write_bio_PKCS8PrivateKey");
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return SecretBytes(
      ToBytes(AsBytes(std::string_view(text, static_cast<size_t>(size)))));
}

EcPrivateKey::Signature EcPrivateKey::SignDigest(ByteView digest) const {
  const EvpPkeyCtxHandle context(
      EVP_PKEY_CTX_new_from_pkey(nullptr, key_->handle.get(), nullptr));
  size_t size = 0;
  RequireOpenSsl(context && EVP_PKEY_sign_init(context.get()) == 1 &&
                     EVP_PKEY_sign(context.get(), nullptr, &size, digest.data(),
                                   digest.size()) == 1,
                 "EVP_PKEY_sign_init");
  Bytes der(size);
  RequireOpenSsl(EVP_PKEY_sign(context.get(), der.data(), &size, digest.data(),
                               digest.size()) == 1,
                 "EVP_PKEY_sign");
  const unsigned char* input = der.data();
  const EcdsaSigHandle parsed(
      d2i_ECDSA_SIG(nullptr, &input, static_cast<long>(size)));
  RequireOpenSsl(parsed != nullptr, "d2i_ECDSA_SIG");
  Signature signature{.r = Bytes(kCoordinateSize), .s = Bytes(kCoordinateSize)};
  RequireOpenSsl(
      BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), signature.r.data(),
                   kCoordinateSize) == kCoordinateSize &&
          BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), signature.s.data(),
                       kCoordinateSize) == kCoordinateSize,
      "BN_bn2binpad");
  return signature;
}

}  // namespace vmattest
