#ifndef VMATTEST_TESTS_UNIT_DISK_DISK_IMAGES_H_
#define VMATTEST_TESTS_UNIT_DISK_DISK_IMAGES_H_

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "disk/file_block_source.h"
#include "disk/nbd_block_source.h"
#include "support/temp_dir.h"
#include "vmattest/types/config_leaf.h"

// Disk images made by the real tools, in a private folder. Failing to make one
// throws.

namespace vmattest::testing {

class DiskImages {
 public:
  // Paths and contents; a path that ends in "/" is a folder, a content that
  // begins with "-> " a symbolic link.
  using Files = std::map<std::string, std::string>;

  [[nodiscard]] const std::filesystem::path& folder() const {
    return dir_.path();
  }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return (dir_.path() / name).string();
  }
  // A program's output.
  static std::string Run(const std::vector<std::string>& words);

  // A folder with `files` in it; its path.
  std::string MakeFolder(const std::string& name, const Files& files);
  // A file of `size` zeros, sparse.
  std::string MakeEmpty(const std::string& name, uint64_t size);
  // mke2fs -d over `folder`, with more words for it.
  std::string MakeExt(const std::string& name, const std::string& folder,
                      uint64_t size, const std::vector<std::string>& words);
  std::string MakeVfat(const std::string& name, const Files& files,
                       uint64_t size, const std::vector<std::string>& words);
  // Puts the content of the file `part` at `offset` of the file `whole`.
  static void Insert(const std::string& whole, uint64_t offset,
                     const std::string& part);
  static void WriteAt(const std::string& file, uint64_t offset,
                      std::string_view bytes);

 private:
  TempDir dir_;
};

std::unique_ptr<disk::FileBlockSource> OpenRaw(const std::string& path);

// qemu-nbd on a socket; gone with the object.
class QemuNbd {
 public:
  QemuNbd(const std::string& image, const std::string& format);
  QemuNbd(const QemuNbd&) = delete;
  QemuNbd& operator=(const QemuNbd&) = delete;
  ~QemuNbd();

  [[nodiscard]] UniqueFd Connect() const;
  [[nodiscard]] std::unique_ptr<disk::NbdBlockSource> Open() const;

 private:
  TempDir dir_;
  pid_t pid_ = -1;
};

// "type value" by path.
std::map<std::string, std::string> ByPath(
    const std::vector<ConfigLeaf>& leaves);

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_UNIT_DISK_DISK_IMAGES_H_
