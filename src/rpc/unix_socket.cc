#include "rpc/unix_socket.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "fmt/format.h"

namespace vmattest::rpc {
namespace {

absl::StatusOr<bool> SomeoneListens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: too long for a socket", path));
  }
  path.copy(address.sun_path, path.size());
  const UniqueFd fd(
      socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return ErrnoStatus(errno, path);
  }
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) == 0) {
    return true;
  }
  // EAGAIN: its backlog is full, so it lives.
  return errno != ECONNREFUSED && errno != ENOENT;
}

}  // namespace

absl::StatusOr<UnixSocketLock> UnixSocketLock::Take(
    const std::filesystem::path& path) {
  const std::string lock_path = path.string() + ".lock";
  UniqueFd fd(
      open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) {
    return ErrnoStatus(errno, lock_path);
  }
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{}: another daemon listens there", path.string()));
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    return UnixSocketLock(std::move(fd));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        fmt::format("{}: is there and is no socket", path.string()));
  }
  ASSIGN_OR_RETURN(const bool live, SomeoneListens(path.string()));
  if (live) {
    return absl::FailedPreconditionError(
        fmt::format("{}: a process listens there", path.string()));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, path.string());
  }
  return UnixSocketLock(std::move(fd));
}

absl::Status SetSocketAccess(const std::filesystem::path& path, mode_t mode,
                             const std::string& group) {
  if (!group.empty()) {
    std::vector<char> buffer(1u << 16);
    ::group entry{};
    ::group* found = nullptr;
    if (getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(),
                   &found) != 0 ||
        found == nullptr) {
      return absl::NotFoundError(fmt::format("no group '{}'", group));
    }
    // A sandboxed daemon runs with the group and may not change any.
    if (found->gr_gid != getegid() &&
        lchown(path.c_str(), static_cast<uid_t>(-1), found->gr_gid) != 0) {
      return ErrnoStatus(errno, path.string());
    }
  }
  if (chmod(path.c_str(), mode) != 0) {
    return ErrnoStatus(errno, path.string());
  }
  return absl::OkStatus();
}

}  // namespace vmattest::rpc
