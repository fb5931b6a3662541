#ifndef VMATTEST_DISK_EXT_FILE_TREE_H_
#define VMATTEST_DISK_EXT_FILE_TREE_H_

#include <memory>
#include <string>
#include <vector>

#include "disk/file_tree.h"

namespace vmattest::disk {

// ext2, ext3 and ext4 through libext2fs. The journal is not replayed: where it
// should be, files are read as the last checkpoint left them.
class ExtFileTree final : public FileTree {
 public:
  struct Description {
    std::string version;  // "ext4"
    std::string uuid;
    // "none", "clean", "needs-recovery"
    std::string journal;
    // Of those that change what can be read: "encrypt", "casefold", "verity".
    std::vector<std::string> features;
    bool has_errors = false;  // the kernel found damage and said so in it
  };

  // `source` must outlive it. DATA_LOSS: damaged, or more than `source` holds;
  // UNIMPLEMENTED: a feature that libext2fs does not know.
  static absl::StatusOr<std::unique_ptr<ExtFileTree>> Mount(
      BlockSource& source);
  ExtFileTree(const ExtFileTree&) = delete;
  ExtFileTree& operator=(const ExtFileTree&) = delete;
  ~ExtFileTree() override;

  [[nodiscard]] const Description& description() const { return description_; }
  absl::StatusOr<FileEntry> Find(std::string_view path) override;
  absl::StatusOr<std::vector<FileEntry>> List(const FileEntry& folder) override;
  absl::StatusOr<std::unique_ptr<BlockSource>> Open(
      const FileEntry& file) override;

 private:
  struct Mounted;
  class Walk;
  explicit ExtFileTree(std::unique_ptr<Mounted> mounted);

  const std::unique_ptr<Mounted> mounted_;
  Description description_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_EXT_FILE_TREE_H_
