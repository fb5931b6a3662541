#include "inspection/worker/image_lock.h"

#include <fcntl.h>

#include <cerrno>

#include "fmt/format.h"

namespace vmattest::inspection {
namespace {

// RAW_LOCK_PERM_BASE, and the bit numbers of BLK_PERM_WRITE and
// BLK_PERM_RESIZE. BLK_PERM_WRITE_UNCHANGED changes nothing.
constexpr off_t kPermissionBase = 100;
constexpr off_t kWrite = 1;
constexpr off_t kResize = 3;

}  // namespace

absl::Status CheckNotBeingWritten(int fd, const std::string& path) {
  for (const off_t permission : {kWrite, kResize}) {
    // Holders have read locks; one to write would conflict with them.
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = kPermissionBase + permission;
    lock.l_len = 1;
    if (fcntl(fd, F_OFD_GETLK, &lock) != 0) {
      return errno == EINVAL || errno == ENOLCK || errno == EBADF
                 ? absl::OkStatus()
                 : ErrnoStatus(errno, fmt::format("{}: its locks", path));
    }
    if (lock.l_type != F_UNLCK) {
      return absl::FailedPreconditionError(fmt::format(
          "{}: in use: another process has the image open for writing", path));
    }
  }
  return absl::OkStatus();
}

}  // namespace vmattest::inspection
