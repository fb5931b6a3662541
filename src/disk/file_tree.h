#ifndef VMATTEST_DISK_FILE_TREE_H_
#define VMATTEST_DISK_FILE_TREE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "disk/block_source.h"

namespace vmattest::disk {

struct FileEntry {
  enum class Kind : uint8_t { kFile, kFolder, kLink, kOther };
  std::string name;
  Kind kind = Kind::kOther;
  uint64_t id = 0;  // the inode, or what the file system has for it
};

// A file system inside a disk, read only. Its structures are hostile: every
// call ends, within the disk's budget. One thread.
//   NOT_FOUND: no such file. DATA_LOSS: damaged. RESOURCE_EXHAUSTED: beyond a
//   limit. UNIMPLEMENTED: a feature that is not read, encryption for one.
//   Errors of the disk are passed on.
class FileTree {
 public:
  virtual ~FileTree() = default;
  // By path from the root ("var/lib/dpkg"); links are followed, and cannot lead
  // outside. "" is the root.
  virtual absl::StatusOr<FileEntry> Find(std::string_view path) = 0;
  // Sorted by name, "." and ".." left out.
  virtual absl::StatusOr<std::vector<FileEntry>> List(
      const FileEntry& folder) = 0;
  // A regular file's content. The tree must outlive it.
  virtual absl::StatusOr<std::unique_ptr<BlockSource>> Open(
      const FileEntry& file) = 0;
};

// More than any folder that is read here has.
inline constexpr size_t kMaxFolderEntries = 200'000;

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_FILE_TREE_H_
