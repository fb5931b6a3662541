#ifndef VMATTEST_BASE_SHARED_FOLDER_H_
#define VMATTEST_BASE_SHARED_FOLDER_H_

#include <sys/types.h>

#include <filesystem>

#include "base/status.h"

namespace vmattest {

// Makes a folder with a new name in `parent` for this process and one other
// user: what either makes in it both may use, and nobody else. By access
// control lists, so it takes no privilege. `parent` must let the other user
// pass. Sockets are the exception that still heeds its maker's umask: it must
// leave the group's bits (libvirt runs QEMU with 002).
absl::StatusOr<std::filesystem::path> MakeSharedFolder(
    const std::filesystem::path& parent, uid_t other);

}  // namespace vmattest

#endif  // VMATTEST_BASE_SHARED_FOLDER_H_
