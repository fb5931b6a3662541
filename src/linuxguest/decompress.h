#ifndef VMATTEST_LINUXGUEST_DECOMPRESS_H_
#define VMATTEST_LINUXGUEST_DECOMPRESS_H_

#include "base/bytes.h"
#include "base/status.h"

namespace vmattest::linuxguest {

// The payload of a bzImage, its compression told by its first bytes, its size
// by its last four; at most 256 MiB. UNIMPLEMENTED: neither LZ4's legacy format
// nor Zstandard. INVALID_ARGUMENT: damaged.
absl::StatusOr<Bytes> DecompressKernel(ByteView payload);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_DECOMPRESS_H_
