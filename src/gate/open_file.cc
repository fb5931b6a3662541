#include "gate/open_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "crypto/digest.h"

namespace vmattest::gate {
namespace {

constexpr size_t kChunk = 1u << 20;

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

absl::StatusOr<FileIdentity> LookAt(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) {
    return ErrnoStatus(errno, "fstat");
  }
  return FileIdentity{.device = status.st_dev,
                      .inode = status.st_ino,
                      .ctime_ns = Nanoseconds(status.st_ctim),
                      .mtime_ns = Nanoseconds(status.st_mtim),
                      .size = static_cast<uint64_t>(status.st_size)};
}

absl::StatusOr<OpenFileDigest> DigestOpen(
    int fd, const std::function<bool()>& cancelled) {
  OpenFileDigest result;
  ASSIGN_OR_RETURN(result.identity, LookAt(fd));
  Hasher hasher(HashAlgorithm::kSha256);
  Bytes chunk(kChunk);
  for (uint64_t at = 0; at < result.identity.size;) {
    if (cancelled && cancelled()) {
      return absl::CancelledError("reading it was broken off");
    }
    const ssize_t got =
        pread(fd, chunk.data(), chunk.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return ErrnoStatus(errno, "reading");
    }
    if (got == 0) {
      break;
    }
    hasher.Update(ByteView(chunk).first(static_cast<size_t>(got)));
    at += static_cast<uint64_t>(got);
  }
  ASSIGN_OR_RETURN(const FileIdentity after, LookAt(fd));
  if (after != result.identity) {
    return absl::AbortedError("it changed while it was read");
  }
  result.digest = hasher.Finish();
  return result;
}

}  // namespace vmattest::gate
