#ifndef VMATTEST_IMAGE_FS_VERITY_H_
#define VMATTEST_IMAGE_FS_VERITY_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "vmattest/types/digest.h"

// fs-verity: a file that the kernel never lets anybody write to again, and
// whose every byte it checks against a Merkle tree when it is read (Linux,
// Documentation/filesystems/fsverity.rst). Callable from any thread.

namespace vmattest::image {

// What the kernel calls the file's digest: of root hash, size, salt and block
// size, so equal digests mean equal content, but not the other way round.
struct VerityDigest {
  std::string algorithm;  // "sha256", "sha512"
  DigestBytes digest;
  friend bool operator==(const VerityDigest&, const VerityDigest&) = default;
};

// "sha256:HEX"
std::string ToString(const VerityDigest& digest);

// The system calls that are asked, for tests on kernels without fs-verity.
struct VerityCalls {
  int (*ioctl)(int fd, unsigned long request, void* argument) = nullptr;
  int (*file_system)(int fd, int64_t& magic) = nullptr;  // as fstatfs(2)
  static const VerityCalls& Kernel();
};

// nullopt: the file has no fs-verity, its file system or this kernel has none,
// or it is a file system whose word is not taken: on FUSE and over a network
// somebody else answers, so there is a list (ext4, f2fs, btrfs).
// UNIMPLEMENTED: an algorithm that is not known here. INTERNAL: the kernel
// says something senseless. `name` is for the message.
absl::StatusOr<std::optional<VerityDigest>> MeasureVerity(
    int fd, const std::string& name,
    const VerityCalls& calls = VerityCalls::Kernel());

}  // namespace vmattest::image

#endif  // VMATTEST_IMAGE_FS_VERITY_H_
