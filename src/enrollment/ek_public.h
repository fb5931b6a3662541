#ifndef VMATTEST_ENROLLMENT_EK_PUBLIC_H_
#define VMATTEST_ENROLLMENT_EK_PUBLIC_H_

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "crypto/ecdsa.h"
#include "crypto/handles.h"

// The public area of an endorsement key (TPM 2.0 Library, Part 2, 12.2), as
// enrolment needs it. Callable from any thread.

namespace vmattest::enrollment {

struct EkPublic {
  enum class Type : uint8_t { kRsa, kEcc };
  Type type = Type::kEcc;
  HashAlgorithm name_hash = HashAlgorithm::kSha256;
  uint32_t attributes = 0;
  Bytes auth_policy;
  uint16_t symmetric_bits = 0;  // of AES-CFB: 128 or 256
  // RSA
  uint16_t modulus_bits = 0;
  uint32_t exponent = 0;  // 0 is 65537
  // ECC
  EcCurve curve = EcCurve::kP256;
  Bytes x;  // as the TPM has it
  EvpPkeyHandle key;
};

// INVALID_ARGUMENT: not a restricted decryption key that its TPM made and
// keeps, of RSA 2048 or 3072, or ECC P-256 or P-384, name algorithm SHA-256 or
// SHA-384, with AES-128-CFB or AES-256-CFB; or not a key at all.
absl::StatusOr<EkPublic> ParseEkPublic(ByteView tpm2b_public);

// Which template of the TCG EK Credential Profile 2.5 the key has: "L-1"
// (RSA 2048), "L-2" (P-256), "H-1", "H-2", "H-3" (P-384), "H-6" (RSA 3072).
// Empty: none. One key under other attributes would have another name, and so
// another host id: who may choose them may be several hosts.
std::string_view EkTemplateOf(const EkPublic& ek);

// SHA-256 of the SubjectPublicKeyInfo: the same for every public area that the
// key may be given. INVALID_ARGUMENT as ParseEkPublic.
absl::StatusOr<DigestBytes> EkFingerprint(ByteView tpm2b_public);

}  // namespace vmattest::enrollment

#endif  // VMATTEST_ENROLLMENT_EK_PUBLIC_H_
