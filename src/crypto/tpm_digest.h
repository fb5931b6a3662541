#ifndef VMATTEST_CRYPTO_TPM_DIGEST_H_
#define VMATTEST_CRYPTO_TPM_DIGEST_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "vmattest/types/digest.h"

// Digests by TPM_ALG_ID (TCG Algorithm Registry), for logs that others wrote.
// Among them is SHA-1, which signs nothing of ours. Callable from any thread.

namespace vmattest {

inline constexpr uint16_t kTpmAlgIdSha1 = 0x0004;
inline constexpr uint16_t kTpmAlgIdSha256 = 0x000B;
inline constexpr uint16_t kTpmAlgIdSha384 = 0x000C;
inline constexpr uint16_t kTpmAlgIdSha512 = 0x000D;

// Bytes of a digest; 0 if the algorithm is not known here.
size_t TpmDigestSize(uint16_t algorithm);
// "sha1", "sha256"...; empty if it is not known.
std::string_view TpmDigestName(uint16_t algorithm);
std::optional<uint16_t> ParseTpmDigestName(std::string_view name);

// The digest of the parts one after the other. The algorithm must be known.
DigestBytes TpmHash(uint16_t algorithm, std::initializer_list<ByteView> parts);

// The TPM_ALG_ID of ours; none for BLAKE3.
std::optional<uint16_t> TpmAlgorithmOf(HashAlgorithm algorithm);

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_TPM_DIGEST_H_
