#ifndef VMATTEST_EVIDENCE_NV_PUBLIC_H_
#define VMATTEST_EVIDENCE_NV_PUBLIC_H_

#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"

// TPM2B_NV_PUBLIC (TCG TPM 2.0 Library, Part 2, section 13.6), parsed as
// hostile bytes. Pure; callable from any thread.

namespace vmattest::evidence {

// TPMA_NV (13.4).
inline constexpr uint32_t kNvPpWrite = 1u << 0;
inline constexpr uint32_t kNvOwnerWrite = 1u << 1;
inline constexpr uint32_t kNvTypeMask = 0xFu << 4;  // 0: ordinary
inline constexpr uint32_t kNvOrderly = 1u << 26;
inline constexpr uint32_t kNvClearStclear = 1u << 27;
inline constexpr uint32_t kNvWritten = 1u << 29;

struct NvPublic {
  uint32_t index = 0;
  uint16_t name_algorithm = 0;
  uint32_t attributes = 0;
  Bytes auth_policy;
  uint16_t data_size = 0;
  Bytes name;  // name algorithm || H(public area)
};

// INVALID_ARGUMENT: truncated, trailing bytes, or a name algorithm other than
// SHA-256 and SHA-384.
absl::StatusOr<NvPublic> ParseNvPublic(ByteView tpm2b_nv_public);

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_NV_PUBLIC_H_
