#ifndef VMATTEST_CRYPTO_EC_PRIVATE_KEY_H_
#define VMATTEST_CRYPTO_EC_PRIVATE_KEY_H_

#include <memory>
#include <string_view>

#include "base/secret_bytes.h"
#include "crypto/ecdsa.h"

namespace vmattest {

// A point of P-256 from SubjectPublicKeyInfo as PEM. INVALID_ARGUMENT: no such
// PEM, or a key of another kind.
absl::StatusOr<EcPublicKey> ParseP256Pem(std::string_view pem);

// An ECDSA P-256 key in this process's memory; OpenSSL wipes it. Callable from
// any thread.
class EcPrivateKey {
 public:
  static EcPrivateKey Generate();
  // PKCS #8 or SEC 1, not encrypted. INVALID_ARGUMENT as above.
  static absl::StatusOr<EcPrivateKey> FromPem(const SecretBytes& pem);
  EcPrivateKey(EcPrivateKey&&) noexcept;
  EcPrivateKey& operator=(EcPrivateKey&&) noexcept;
  ~EcPrivateKey();

  [[nodiscard]] SecretBytes ToPem() const;  // PKCS #8
  [[nodiscard]] const EcPublicKey& public_key() const { return public_key_; }

  struct Signature {
    Bytes r;  // 32 bytes
    Bytes s;
  };
  // `digest`: of SHA-256.
  [[nodiscard]] Signature SignDigest(ByteView digest) const;

 private:
  struct Key;
  EcPrivateKey(std::unique_ptr<Key> key, EcPublicKey public_key);

  std::unique_ptr<Key> key_;
  EcPublicKey public_key_;
};

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_EC_PRIVATE_KEY_H_
