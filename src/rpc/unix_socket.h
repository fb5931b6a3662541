#ifndef VMATTEST_RPC_UNIX_SOCKET_H_
#define VMATTEST_RPC_UNIX_SOCKET_H_

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "base/handles.h"
#include "base/status.h"

namespace vmattest::rpc {

// The right to listen on one socket path, for as long as the object lives: a
// lock on "PATH.lock". gRPC would take over a live daemon's socket silently.
class UnixSocketLock {
 public:
  // Removes a socket that a dead process left behind.
  //   FAILED_PRECONDITION: a live process listens there, or the path is
  //   something else than a socket. NOT_FOUND: no such folder.
  static absl::StatusOr<UnixSocketLock> Take(const std::filesystem::path& path);

 private:
  explicit UnixSocketLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Sets the mode and, unless `group` is empty, the group of a bound socket.
// NOT_FOUND: no such group.
absl::Status SetSocketAccess(const std::filesystem::path& path, mode_t mode,
                             const std::string& group);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_UNIX_SOCKET_H_
