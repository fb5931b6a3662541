#ifndef VMATTEST_SQLITE_LOCAL_FILE_SYSTEM_H_
#define VMATTEST_SQLITE_LOCAL_FILE_SYSTEM_H_

#include <filesystem>

#include "base/status.h"

namespace vmattest::sqlite {

// FAILED_PRECONDITION: the folder of `path` is on a network or FUSE file
// system, whose locks and fsync SQLite cannot rely on; the message names it.
// NOT_FOUND, PERMISSION_DENIED as statfs(2). Callable from any thread.
absl::Status RequireLocalFileSystem(const std::filesystem::path& path);

// The name of a file system that is refused, by statfs(2)'s f_type; nullptr
// for all others.
const char* RefusedFileSystem(uint64_t type);

}  // namespace vmattest::sqlite

#endif  // VMATTEST_SQLITE_LOCAL_FILE_SYSTEM_H_
