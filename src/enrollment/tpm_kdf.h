#ifndef VMATTEST_ENROLLMENT_TPM_KDF_H_
#define VMATTEST_ENROLLMENT_TPM_KDF_H_

#include <string_view>

#include "base/secret_bytes.h"
#include "vmattest/types/digest.h"

// Key derivation as a TPM does it (TPM 2.0 Library, Part 1, 11.4.10), by
// OpenSSL's own functions: byte for byte the same. Callable from any thread.

namespace vmattest::enrollment {

// KDFa: SP 800-108 in counter mode with HMAC; label, 0x00, context, bits.
// OpenSSL's KBKDF.
SecretBytes Kdfa(HashAlgorithm hash, const SecretBytes& key,
                 std::string_view label, ByteView context, size_t size);

// KDFe: SP 800-56A's one-step derivation over `z`; label, 0x00, the x
// coordinates of both parties. OpenSSL's SSKDF.
SecretBytes Kdfe(HashAlgorithm hash, const SecretBytes& z,
                 std::string_view label, ByteView party_u, ByteView party_v,
                 size_t size);

// OpenSSL's name of SHA-256 and SHA-384; no other is asked for.
const char* TpmHashName(HashAlgorithm hash);

}  // namespace vmattest::enrollment

#endif  // VMATTEST_ENROLLMENT_TPM_KDF_H_
