#include "signing/log_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/file.h"
#include "base/handles.h"
#include "fmt/format.h"

namespace vmattest::signing {
namespace {

constexpr std::string_view kSuffix = ".cel";
constexpr size_t kDigits = 20;
constexpr mode_t kFileMode = 0640;
constexpr mode_t kFolderMode = 0750;

absl::Status DiskStatus(int error, std::string_view clause) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(
        fmt::format("{}: {}", clause, std::generic_category().message(error)));
  }
  return ErrnoStatus(error, clause);
}

absl::Status Sync(int fd, const std::string& path) {
  return fsync(fd) == 0 ? absl::OkStatus()
                        : DiskStatus(errno, fmt::format("syncing {}", path));
}

}  // namespace

std::string LogFileName(uint64_t first_record) {
  return fmt::format("{:0{}}{}", first_record, kDigits, kSuffix);
}

bool IsLogFileName(std::string_view name) {
  return name.size() == kDigits + kSuffix.size() &&
         name.substr(kDigits) == kSuffix &&
         std::all_of(name.begin(), name.begin() + kDigits,
                     [](char c) { return c >= '0' && c <= '9'; });
}

absl::StatusOr<std::vector<std::string>> DiskLogFolder::List() {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_, error), end;
       !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (IsLogFileName(name)) {
      names.push_back(std::move(name));
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoStatus(error.value(),
                       fmt::format("listing {}", folder_.string()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<Bytes> DiskLogFolder::Read(const std::string& name) {
  return ReadFile(folder_ / name, kMaxLogFileSize);
}

absl::Status DiskLogFolder::Write(const std::string& name, uint64_t offset,
                                  ByteView bytes) {
  const std::string path = folder_ / name;
  if (mkdir(folder_.c_str(), kFolderMode) != 0 && errno != EEXIST) {
    return DiskStatus(errno, fmt::format("making {}", folder_.string()));
  }
  const UniqueFd fd(
      open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, kFileMode));
  if (!fd.valid()) {
    return DiskStatus(errno, fmt::format("opening {}", path));
  }
  auto at = static_cast<off_t>(offset);
  while (!bytes.empty()) {
    const ssize_t written = pwrite(fd.get(), bytes.data(), bytes.size(), at);
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return DiskStatus(errno, fmt::format("writing {}", path));
    }
    at += written;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  RETURN_IF_ERROR(Sync(fd.get(), path));
  return offset == 0 ? SyncFolder() : absl::OkStatus();
}

absl::Status DiskLogFolder::Truncate(const std::string& name, uint64_t size) {
  const std::string path = folder_ / name;
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return DiskStatus(errno, fmt::format("cutting off {}", path));
  }
  return Sync(fd.get(), path);
}

absl::Status DiskLogFolder::KeepAside(const std::string& name, ByteView bytes) {
  return WriteFileAtomic(folder_ / name, bytes, kFileMode);
}

absl::Status DiskLogFolder::Remove(const std::string& name) {
  const std::string path = folder_ / name;
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return DiskStatus(errno, fmt::format("removing {}", path));
  }
  return SyncFolder();
}

absl::Status DiskLogFolder::SyncFolder() const {
  const UniqueFd fd(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    return DiskStatus(errno, fmt::format("opening {}", folder_.string()));
  }
  return Sync(fd.get(), folder_.string());
}

}  // namespace vmattest::signing
