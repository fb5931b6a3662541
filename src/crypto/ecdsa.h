#ifndef VMATTEST_CRYPTO_ECDSA_H_
#define VMATTEST_CRYPTO_ECDSA_H_

#include <memory>
#include <string>

#include "base/bytes.h"
#include "vmattest/types/digest.h"

typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;

namespace vmattest {

enum class EcCurve : uint8_t { kP256, kP384 };

// An affine point as a TPM gives it: big-endian coordinates without a fixed
// width.
struct EcPublicKey {
  EcCurve curve = EcCurve::kP256;
  Bytes x;
  Bytes y;
};

// Whether (r, s) signs `digest`. False for any malformed input, point off the
// curve included: a wrong signature is a verdict, not an error. Callable from
// any thread.
[[nodiscard]] bool VerifyEcdsa(const EcPublicKey& key, ByteView digest,
                               ByteView r, ByteView s);

// The same for whoever checks many signatures by one key: importing a key takes
// about as long as half a verification, and OpenSSL looks its algorithms up by
// name, under a lock, for each operation that is not prepared. Copies share it;
// callable from any thread.
class EcVerifier {
 public:
  // INVALID_ARGUMENT: not a point on the curve.
  static absl::StatusOr<EcVerifier> Import(const EcPublicKey& key);

  [[nodiscard]] bool Verify(ByteView digest, ByteView r, ByteView s) const;

 private:
  EcVerifier(EcCurve curve, std::shared_ptr<const EVP_PKEY_CTX> prepared);

  EcCurve curve_;
  std::shared_ptr<const EVP_PKEY_CTX> prepared_;  // copied for each use
};

// SubjectPublicKeyInfo as PEM. INVALID_ARGUMENT: not a point on the curve.
absl::StatusOr<std::string> ToPem(const EcPublicKey& key);

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_ECDSA_H_
