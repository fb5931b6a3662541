#ifndef VMATTEST_SIGNING_SEED_FILE_H_
#define VMATTEST_SIGNING_SEED_FILE_H_

#include "base/bytes.h"
#include "tpm/host_tpm.h"

// A sealed seed at rest (docs/formats/sealed-seed.md):
// "vmattest/sealed-seed/v1" 0x00, then, in this order, algorithm, purpose (one
// byte), epoch (uint32), public key, sealed public area, creation data, certify
// info, signature, private area; each but purpose and epoch as its length
// (uint32) and bytes. Pure; callable from any thread.

namespace vmattest::signing {

inline constexpr size_t kMaxSeedFileSize = 16u << 10;

Bytes EncodeSeedFile(const tpm::SealedSeed& seed);
// INVALID_ARGUMENT: anything that EncodeSeedFile would not have written, or
// whose parts cannot be what they should. An empty private area is a seed that
// was destroyed: its public key remains.
absl::StatusOr<tpm::SealedSeed> ParseSeedFile(ByteView bytes);

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_SEED_FILE_H_
