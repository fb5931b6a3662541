#ifndef VMATTEST_DISK_PE_IMAGE_H_
#define VMATTEST_DISK_PE_IMAGE_H_

#include "disk/block_source.h"
#include "vmattest/types/digest.h"

namespace vmattest::disk {

// Whether the file begins as a PE image does. Kernels with an EFI stub are ones
// too. Errors are those of BlockSource.
absl::StatusOr<bool> IsPeImage(BlockSource& file);

// The Authenticode digest of an EFI binary: what Secure Boot's databases list
// and signatures cover ("Windows Authenticode Portable Executable Signature
// Format", version 1.0, "Calculating the PE Image Hash"). It leaves out the
// checksum and the signatures, so signing does not change it, but for the
// padding to 8 bytes that signing tools add first. One thread.
//   INVALID_ARGUMENT: no PE image, or one whose headers contradict themselves.
absl::StatusOr<DigestBytes> AuthenticodeDigest(BlockSource& file,
                                               HashAlgorithm algorithm);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_PE_IMAGE_H_
