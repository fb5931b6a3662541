#ifndef VMATTEST_DISK_APPLIANCE_FILE_TREE_H_
#define VMATTEST_DISK_APPLIANCE_FILE_TREE_H_

#include <string>
#include <unordered_map>
#include <vector>

#include "disk/appliance.h"
#include "disk/budget.h"
#include "disk/file_tree.h"

namespace vmattest::disk {

// What an appliance has mounted, unmounted again with the object. Every byte is
// paid for. An entry's `id` is that of its path, without links.
class ApplianceFileTree final : public FileTree {
 public:
  // Both outlive it. The errors are those of Appliance::Mount().
  static absl::StatusOr<std::unique_ptr<ApplianceFileTree>> Mount(
      Appliance& appliance, Budget& budget, const std::string& device,
      const std::string& options);
  ApplianceFileTree(const ApplianceFileTree&) = delete;
  ApplianceFileTree& operator=(const ApplianceFileTree&) = delete;
  ~ApplianceFileTree() override;

  absl::StatusOr<FileEntry> Find(std::string_view path) override;
  absl::StatusOr<std::vector<FileEntry>> List(const FileEntry& folder) override;
  absl::StatusOr<std::unique_ptr<BlockSource>> Open(
      const FileEntry& file) override;

 private:
  class Content;
  ApplianceFileTree(Appliance& appliance, Budget& budget)
      : appliance_(appliance), budget_(budget) {}
  // What each call costs at least, so that very many end.
  absl::Status Pay();
  FileEntry Remember(Appliance::File file);

  Appliance& appliance_;
  Budget& budget_;
  std::vector<Appliance::File> files_;  // by id
  std::unordered_map<std::string, uint64_t> by_path_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_APPLIANCE_FILE_TREE_H_
