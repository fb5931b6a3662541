#ifndef VMATTEST_DISK_FAT_FILE_TREE_H_
#define VMATTEST_DISK_FAT_FILE_TREE_H_

#include <memory>
#include <string>
#include <vector>

#include "disk/file_tree.h"

namespace vmattest::disk {

// FAT12, FAT16 and FAT32 through libtsk. Names are compared as the firmware
// does, without regard to ASCII case; deleted files are left out.
class FatFileTree final : public FileTree {
 public:
  // `source` must outlive it. DATA_LOSS: damaged.
  static absl::StatusOr<std::unique_ptr<FatFileTree>> Mount(
      BlockSource& source);
  FatFileTree(const FatFileTree&) = delete;
  FatFileTree& operator=(const FatFileTree&) = delete;
  ~FatFileTree() override;

  absl::StatusOr<FileEntry> Find(std::string_view path) override;
  absl::StatusOr<std::vector<FileEntry>> List(const FileEntry& folder) override;
  absl::StatusOr<std::unique_ptr<BlockSource>> Open(
      const FileEntry& file) override;

 private:
  struct Mounted;
  class File;
  explicit FatFileTree(std::unique_ptr<Mounted> mounted);

  const std::unique_ptr<Mounted> mounted_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_FAT_FILE_TREE_H_
