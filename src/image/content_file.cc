#include "image/content_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "fmt/format.h"

// Linux 6.8; older kernels ignore it and answer with STATX_MNT_ID.
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

namespace vmattest::image {
namespace {

int64_t Nanoseconds(const struct statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

std::string_view KindName(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "a folder";
    case S_IFSOCK:
      return "a socket";
    case S_IFIFO:
      return "a FIFO";
    case S_IFCHR:
      return "a character device";
    default:
      return "a file of unknown kind";
  }
}

// ABORTED, naming what differs.
absl::Status Compare(const FileStamp& before, const FileStamp& after,
                     bool block_device, const std::string& path) {
  std::string_view what;
  if (before.device != after.device || before.inode != after.inode) {
    what = "another file took its place";
  } else if (before.size != after.size) {
    what = "its size changed";
  } else if (!block_device && (before.mtime_ns != after.mtime_ns ||
                               before.ctime_ns != after.ctime_ns)) {
    what = "it was written to or its attributes changed";
  } else {
    return absl::OkStatus();
  }
  return absl::AbortedError(
      fmt::format("{}: changed while it was read: {}", path, what));
}

}  // namespace

absl::StatusOr<FileStamp> StampOf(int fd, const std::string& name) {
  struct statx info = {};
  if (statx(fd, "", AT_EMPTY_PATH,
            STATX_BASIC_STATS | STATX_MNT_ID | STATX_MNT_ID_UNIQUE,
            &info) != 0) {
    return ErrnoStatus(errno, name);
  }
  FileStamp stamp;
  stamp.mount = info.stx_mnt_id;
  stamp.device = makedev(info.stx_dev_major, info.stx_dev_minor);
  stamp.inode = info.stx_ino;
  stamp.size = info.stx_size;
  stamp.mtime_ns = Nanoseconds(info.stx_mtime);
  stamp.ctime_ns = Nanoseconds(info.stx_ctime);
  if (S_ISBLK(info.stx_mode) && ioctl(fd, BLKGETSIZE64, &stamp.size) != 0) {
    return ErrnoStatus(errno, fmt::format("{}: size of the device", name));
  }
  return stamp;
}

absl::StatusOr<ContentFile> OpenContent(const std::string& path) {
  const UniqueFd named(open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat info = {};
  if (!named.valid() || fstat(named.get(), &info) != 0) {
    return ErrnoStatus(errno, path);
  }
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: is {}, neither a regular file nor a block device",
                    path, KindName(info.st_mode)));
  }
  ContentFile file;
  file.block_device = S_ISBLK(info.st_mode);
  // By descriptor, so that what is opened is what was looked at. Non-blocking:
  // a lease that somebody holds must not hold us.
  file.fd = UniqueFd(open(fmt::format("/proc/self/fd/{}", named.get()).c_str(),
                          O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!file.fd.valid()) {
    return ErrnoStatus(errno, path);
  }
  ASSIGN_OR_RETURN(file.stamp, StampOf(file.fd.get(), path));
  file.size = file.stamp.size;
  if (!file.block_device) {
    ASSIGN_OR_RETURN(file.verity, MeasureVerity(file.fd.get(), path));
  }
  return file;
}

absl::Status CheckUnchanged(const ContentFile& file, const std::string& path) {
  ASSIGN_OR_RETURN(const FileStamp now, StampOf(file.fd.get(), path));
  RETURN_IF_ERROR(Compare(file.stamp, now, file.block_device, path));
  struct stat named = {};
  if (stat(path.c_str(), &named) != 0 || named.st_ino != file.stamp.inode ||
      named.st_dev != file.stamp.device) {
    return absl::AbortedError(fmt::format(
        "{}: changed while it was read: another file took its place", path));
  }
  return absl::OkStatus();
}

}  // namespace vmattest::image
