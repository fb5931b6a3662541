#ifndef VMATTEST_ENROLLMENT_CREDENTIAL_H_
#define VMATTEST_ENROLLMENT_CREDENTIAL_H_

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "evidence/host_identity.h"
#include "vmattest/types/verdict.h"

// Credential activation without a TPM on the verifier's side (TCG TPM 2.0
// Library, Part 1, annexes B.10.4 and C.6.4; TPM2_MakeCredential). Callable
// from any thread.

namespace vmattest::enrollment {

struct Credential {
  Bytes credential_blob;   // TPM2B_ID_OBJECT
  Bytes encrypted_secret;  // TPM2B_ENCRYPTED_SECRET
};

// Only the TPM with this EK gives `secret` (16 to 32 bytes) back, and only if
// the object named `object_name` is loaded in it. INVALID_ARGUMENT: an EK that
// is neither ECC P-256/P-384 nor RSA 2048/3072 with AES-CFB, or not a
// restricted decryption key.
absl::StatusOr<Credential> MakeCredential(ByteView ek_public,
                                          ByteView object_name,
                                          const SecretBytes& secret);

// What must hold of an identity before a credential is made for it (rule S9):
// host id is the EK's digest, AK restricted, sign, not decrypt, fixedTPM,
// fixedParent, sensitiveDataOrigin; every purpose key certified by that AK; one
// label per key. Reason codes "identity-*".
Verdict CheckIdentity(const evidence::HostIdentity& identity);

// HMAC-SHA-256(secret, "vmattest/enroll/v1" || 0x00 || SHA-256(identity)):
// what the host answers, so that exactly the identity whose AK was activated is
// the one that is stored. `identity`: its canonical bytes (wire/codec.h).
Bytes EnrollmentProof(const SecretBytes& secret, ByteView identity);

}  // namespace vmattest::enrollment

#endif  // VMATTEST_ENROLLMENT_CREDENTIAL_H_
