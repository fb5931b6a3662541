#ifndef VMATTEST_BASE_FILE_H_
#define VMATTEST_BASE_FILE_H_

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "base/bytes.h"

namespace vmattest {

// The whole of a regular file. NOT_FOUND, PERMISSION_DENIED; INVALID_ARGUMENT
// if it is no regular file or larger than `max_size` bytes. The message names
// the path.
absl::StatusOr<Bytes> ReadFile(const std::filesystem::path& path,
                               size_t max_size);

// Replaces `path` so that a crash at any moment leaves the old or the new
// content, never a mixture: temporary file, fsync, rename, fsync of the folder.
absl::Status WriteFileAtomic(const std::filesystem::path& path,
                             ByteView content, mode_t mode = 0644);

// As WriteFileAtomic for what nobody needs after this boot: it outlives this
// process, but is not synced, and after a crash of the machine the file may be
// the old one, empty, or torn.
absl::Status WriteFileForThisBoot(const std::filesystem::path& path,
                                  ByteView content, mode_t mode = 0644);

}  // namespace vmattest

#endif  // VMATTEST_BASE_FILE_H_
