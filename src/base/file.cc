#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/handles.h"
#include "fmt/format.h"

namespace vmattest {
namespace {

absl::Status WriteAll(int fd, ByteView content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, fmt::format("writing {}", path));
    }
    content = content.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status Replace(const std::filesystem::path& path, ByteView content,
                     mode_t mode, bool sync) {
  std::string temporary = path.string() + ".XXXXXX";
  const UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoStatus(errno, fmt::format("creating {}", temporary));
  }
  absl::Status status = WriteAll(fd.get(), content, temporary);
  if (status.ok() && sync && fsync(fd.get()) != 0) {
    status = ErrnoStatus(errno, fmt::format("syncing {}", temporary));
  }
  if (status.ok() && fchmod(fd.get(), mode) != 0) {
    status = ErrnoStatus(errno, fmt::format("chmod {}", temporary));
  }
  if (status.ok() && std::rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, fmt::format("renaming to {}", path.string()));
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
  }
  return status;
}

}  // namespace

absl::StatusOr<Bytes> ReadFile(const std::filesystem::path& path,
                               size_t max_size) {
  // Non-blocking, so that a FIFO put in a file's place cannot hold us.
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    return ErrnoStatus(errno, path.string());
  }
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0) {
    return ErrnoStatus(errno, path.string());
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: not a regular file", path.string()));
  }
  Bytes content;
  uint8_t buffer[65536];
  while (true) {
    const ssize_t got = read(fd.get(), buffer, sizeof buffer);
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, path.string());
    }
    if (got == 0) {
      return content;
    }
    content.insert(content.end(), buffer, buffer + got);
    if (content.size() > max_size) {
      return absl::InvalidArgumentError(
          fmt::format("{}: larger than {} bytes", path.string(), max_size));
    }
  }
}

absl::Status WriteFileForThisBoot(const std::filesystem::path& path,
                                  ByteView content, mode_t mode) {
  return Replace(path, content, mode, /*sync=*/false);
}

absl::Status WriteFileAtomic(const std::filesystem::path& path,
                             ByteView content, mode_t mode) {
  RETURN_IF_ERROR(Replace(path, content, mode, /*sync=*/true));
  const std::filesystem::path parent =
      path.has_parent_path() ? path.parent_path() : ".";
  const UniqueFd folder(
      open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || fsync(folder.get()) != 0) {
    return ErrnoStatus(errno, fmt::format("syncing {}", parent.string()));
  }
  return absl::OkStatus();
}

}  // namespace vmattest
