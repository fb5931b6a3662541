#ifndef VMATTEST_CRYPTO_ED25519_H_
#define VMATTEST_CRYPTO_ED25519_H_

#include <memory>

#include "base/bytes.h"
#include "base/secret_bytes.h"

typedef struct evp_pkey_st EVP_PKEY;

// Ed25519 (RFC 8032), for C2SP's notes and cosignatures. Keys are immutable;
// everything here is callable from any thread.

namespace vmattest {

inline constexpr size_t kEd25519KeySize = 32;  // public, and the seed
inline constexpr size_t kEd25519SignatureSize = 64;

class Ed25519PublicKey {
 public:
  // INVALID_ARGUMENT: not 32 bytes. Any 32 bytes are a key.
  static absl::StatusOr<Ed25519PublicKey> Parse(ByteView bytes);
  [[nodiscard]] bool Verify(ByteView message, ByteView signature) const;

 private:
  explicit Ed25519PublicKey(std::shared_ptr<EVP_PKEY> key);
  std::shared_ptr<EVP_PKEY> key_;
};

class Ed25519PrivateKey {
 public:
  // INVALID_ARGUMENT: `seed` is not 32 bytes. OpenSSL wipes its copy.
  static absl::StatusOr<Ed25519PrivateKey> FromSeed(const SecretBytes& seed);
  [[nodiscard]] Bytes Sign(ByteView message) const;
  [[nodiscard]] const Bytes& public_key() const { return public_key_; }

 private:
  Ed25519PrivateKey(std::shared_ptr<EVP_PKEY> key, Bytes public_key);
  std::shared_ptr<EVP_PKEY> key_;
  Bytes public_key_;
};

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_ED25519_H_
