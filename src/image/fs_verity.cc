#include "image/fs_verity.h"

#include <linux/fs.h>
#include <linux/fsverity.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "fmt/format.h"

namespace vmattest::image {
namespace {

constexpr size_t kMaxDigest = 64;

bool IsTrusted(int64_t magic) {
  return magic == EXT4_SUPER_MAGIC || magic == F2FS_SUPER_MAGIC ||
         magic == BTRFS_SUPER_MAGIC;
}

// Files without it, file systems without it, kernels without it, and kernels
// and file systems that do not know the request.
bool MeansNone(int error) {
  return error == ENODATA || error == EOPNOTSUPP || error == ENOTTY ||
         error == EINVAL || error == ENOSYS;
}

// What the kernel answers with (struct fsverity_digest and room behind it).
struct Answer {
  uint16_t algorithm = 0;
  uint16_t size = kMaxDigest;
  uint8_t bytes[kMaxDigest] = {};
};
static_assert(sizeof(fsverity_digest) == 2 * sizeof(uint16_t));

absl::StatusOr<VerityDigest> Judge(const Answer& answer,
                                   const std::string& name) {
  std::string_view algorithm;
  size_t size = 0;
  switch (answer.algorithm) {
    case FS_VERITY_HASH_ALG_SHA256:
      algorithm = "sha256";
      size = 32;
      break;
    case FS_VERITY_HASH_ALG_SHA512:
      algorithm = "sha512";
      size = 64;
      break;
    default:
      return absl::UnimplementedError(
          fmt::format("{}: fs-verity digest of unknown algorithm {}", name,
                      answer.algorithm));
  }
  if (answer.size != size) {
    return absl::InternalError(
        fmt::format("{}: the kernel says that a fs-verity digest of {} has {} "
                    "bytes",
                    name, algorithm, answer.size));
  }
  return VerityDigest{std::string(algorithm),
                      DigestBytes(answer.bytes, answer.bytes + size)};
}

int AskKernel(int fd, unsigned long request, void* argument) {
  return ioctl(fd, request, argument);
}

int AskFileSystem(int fd, int64_t& magic) {
  struct statfs info = {};
  const int result = fstatfs(fd, &info);
  magic = info.f_type;
  return result;
}

}  // namespace

std::string ToString(const VerityDigest& digest) {
  return fmt::format("{}:{}", digest.algorithm, ToHex(digest.digest));
}

const VerityCalls& VerityCalls::Kernel() {
  static constexpr VerityCalls kKernel{AskKernel, AskFileSystem};
  return kKernel;
}

absl::StatusOr<std::optional<VerityDigest>> MeasureVerity(
    int fd, const std::string& name, const VerityCalls& calls) {
  int64_t magic = 0;
  if (calls.file_system(fd, magic) != 0) {
    return ErrnoStatus(errno, name);
  }
  if (!IsTrusted(magic)) {
    return std::nullopt;
  }
  unsigned int flags = 0;
  if (calls.ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 &&
      (flags & FS_VERITY_FL) == 0) {
    return std::nullopt;
  }
  Answer answer;
  if (calls.ioctl(fd, FS_IOC_MEASURE_VERITY, &answer) != 0) {
    if (MeansNone(errno)) {
      return std::nullopt;
    }
    return ErrnoStatus(errno, fmt::format("{}: its fs-verity digest", name));
  }
  ASSIGN_OR_RETURN(VerityDigest digest, Judge(answer, name));
  return digest;
}

}  // namespace vmattest::image
