#ifndef VMATTEST_LINUXGUEST_DECOMPRESS_H_
#define VMATTEST_LINUXGUEST_DECOMPRESS_H_

#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"

namespace vmattest::linuxguest {

// The payload of a bzImage, its compression told by its first bytes, its size
// by its last four; at most 256 MiB. UNIMPLEMENTED: neither LZ4's legacy format
// nor Zstandard. INVALID_ARGUMENT: damaged.
absl::StatusOr<Bytes> DecompressKernel(ByteView payload);

inline constexpr uint64_t kMaxModuleBytes = uint64_t{64} << 20;

// A module's file as it lies in /lib/modules: a .ko, or one stream of xz or
// Zstandard with it, told by its first bytes. Dictionaries and windows of up to
// 64 MiB. INVALID_ARGUMENT: damaged, or more than `most` bytes.
absl::StatusOr<Bytes> DecompressModule(ByteView file, uint64_t most);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_DECOMPRESS_H_
