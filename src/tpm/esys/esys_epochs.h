#ifndef VMATTEST_TPM_ESYS_ESYS_EPOCHS_H_
#define VMATTEST_TPM_ESYS_ESYS_EPOCHS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tpm/host_tpm.h"

// The epochs of purpose keys (rule S2) as numbers: which there are, where in
// the TPM each is kept, what the AK said about it. Pure; from any thread.

namespace vmattest::tpm {

// Epoch e of purpose n is kept at base + n + 8 * ((e - 1) mod 8).
inline constexpr uint32_t kHandlesPerEpoch = 8;
inline constexpr uint32_t kEpochSlots = 8;
inline constexpr uint32_t kKeyHandles = kHandlesPerEpoch * kEpochSlots;

uint32_t EpochHandle(uint32_t base, KeyPurpose purpose, uint32_t epoch);
// "config/1": part of the key's template and of its authorisation.
std::string EpochLabel(KeyPurpose purpose, uint32_t epoch);

// Whether the key is in the TPM (kActive, kOverlap).
[[nodiscard]] bool IsKept(const KeyEpoch& key);

// nullptr: there is none.
KeyEpoch* FindEpoch(std::vector<KeyEpoch>& keys, KeyPurpose purpose,
                    uint32_t epoch);
KeyEpoch* FindActive(std::vector<KeyEpoch>& keys, KeyPurpose purpose);
// Never one that was there before.
uint32_t NextEpoch(const std::vector<KeyEpoch>& keys, KeyPurpose purpose);
// Keeps the order: by purpose, then by epoch.
void InsertEpoch(std::vector<KeyEpoch>& keys, KeyEpoch key);

// What a verifier is told: all but the revoked ones; of more than `max` those
// that are kept, then the newest.
std::vector<evidence::KeyCertification> ListedKeys(
    const std::vector<KeyEpoch>& keys, size_t max);

// Whether it is the word of the AK, a TPM2B_PUBLIC, that `key_public` is this
// key, in qualifying data of the kind that `expected` is.
[[nodiscard]] bool IsWordOfAk(ByteView certify_info, ByteView signature,
                              ByteView ak_public, ByteView key_public,
                              ByteView expected);
[[nodiscard]] bool Certifies(const evidence::KeyCertification& certification,
                             ByteView ak_public);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_EPOCHS_H_
