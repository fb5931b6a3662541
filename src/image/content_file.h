#ifndef VMATTEST_IMAGE_CONTENT_FILE_H_
#define VMATTEST_IMAGE_CONTENT_FILE_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "base/handles.h"
#include "base/status.h"
#include "image/fs_verity.h"

// Opening what may hold a guest's content, and telling whether it changed.
// Callable from any thread.

namespace vmattest::image {

// Which file it is and what the kernel last said about its content. Equal
// stamps do not prove equal content: digest_cache.h says what else it takes.
struct FileStamp {
  uint64_t mount = 0;
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  friend auto operator<=>(const FileStamp&, const FileStamp&) = default;
};

// INTERNAL: the kernel cannot say. `name` is for the message.
absl::StatusOr<FileStamp> StampOf(int fd, const std::string& name);

struct ContentFile {
  UniqueFd fd;  // read-only, non-blocking
  bool block_device = false;
  uint64_t size = 0;
  FileStamp stamp;
  std::optional<VerityDigest> verity;
};

// A regular file or block device. Anything else is refused by name before its
// driver or peer hears of it: opening a watchdog or a FIFO has effects.
//   NOT_FOUND, PERMISSION_DENIED; INVALID_ARGUMENT: another kind of file;
//   UNIMPLEMENTED: fs-verity of a kind that is not known here.
absl::StatusOr<ContentFile> OpenContent(const std::string& path);

// ABORTED unless `file` is as it was opened and `path` still names it.
absl::Status CheckUnchanged(const ContentFile& file, const std::string& path);

}  // namespace vmattest::image

#endif  // VMATTEST_IMAGE_CONTENT_FILE_H_
