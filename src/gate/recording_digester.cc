#include "gate/recording_digester.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace vmattest::gate {

namespace {

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

FileIdentity Identity(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .ctime_ns = Nanoseconds(status.st_ctim),
          .mtime_ns = Nanoseconds(status.st_mtim),
          .size = static_cast<uint64_t>(status.st_size)};
}

}  // namespace

absl::StatusOr<FileIdentity> LookAt(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    return ErrnoStatus(errno, path);
  }
  return Identity(status);
}

absl::StatusOr<FileIdentity> IdentityOf(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) {
    return ErrnoStatus(errno, "an open file");
  }
  return Identity(status);
}

bool WasWritten(const FileIdentity& before, const FileIdentity& now) {
  FileIdentity relabelled = before;
  relabelled.ctime_ns = now.ctime_ns;
  return now != relabelled;
}

absl::StatusOr<image::ContentDigest> RecordingDigester::Digest(
    const Request& request) {
  const absl::StatusOr<FileIdentity> before = LookAt(request.path);
  absl::StatusOr<image::ContentDigest> digest = inner_.Digest(request);
  if (digest.ok() && before.ok()) {
    const MutexLock lock(mutex_);
    files_.insert_or_assign(
        request.path, MeasuredFile{*before, request.algorithm, digest->digest});
  }
  return digest;
}

MeasuredFiles RecordingDigester::Take() {
  const MutexLock lock(mutex_);
  return std::exchange(files_, {});
}

}  // namespace vmattest::gate
