#ifndef VMATTEST_CRYPTO_ECDSA_DER_H_
#define VMATTEST_CRYPTO_ECDSA_DER_H_

#include <optional>

#include "crypto/ecdsa.h"

// DER forms of P-256 keys and signatures (RFC 5480, RFC 3279). Hostile input
// allowed; callable from any thread.

namespace vmattest {

// SubjectPublicKeyInfo. INVALID_ARGUMENT: another kind of key, a point off the
// curve, or bytes that EncodeSpki would not have written.
absl::StatusOr<EcPublicKey> ParseP256Spki(ByteView der);
// INVALID_ARGUMENT: not a point on the curve.
absl::StatusOr<Bytes> EncodeSpki(const EcPublicKey& key);

// Ecdsa-Sig-Value over P-256.
struct EcdsaParts {
  Bytes r;  // 32 bytes
  Bytes s;
};
// Nothing for whatever EncodeEcdsaDer would not have written.
std::optional<EcdsaParts> ParseEcdsaDer(ByteView der);
Bytes EncodeEcdsaDer(ByteView r, ByteView s);

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_ECDSA_DER_H_
