#include "disk/content.h"

#include <fmt/format.h>

#include <utility>

#include "disk/ext_file_tree.h"
#include "disk/fat_file_tree.h"
#include "disk/packages.h"

namespace vmattest::disk {
namespace {

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

void AddExt(BlockSource& content, const std::string& prefix,
            const Inventory& inventory) {
  const auto tree = ExtFileTree::Mount(content);
  if (!tree.ok()) {
    inventory.leaves.Text(prefix + "/filesystem", "ext");
    inventory.leaves.Unavailable(prefix, MessageOf(tree.status()));
    return;
  }
  const ExtFileTree::Description& what = (*tree)->description();
  inventory.leaves.Text(prefix + "/filesystem", what.version);
  inventory.leaves.Text(prefix + "/filesystem/uuid", what.uuid);
  inventory.leaves.Text(prefix + "/journal", what.journal);
  if (!what.features.empty()) {
    inventory.leaves.Text(prefix + "/filesystem/features",
                          fmt::format("{}", fmt::join(what.features, " ")));
  }
  if (what.has_errors) {
    inventory.leaves.Text(prefix + "/filesystem/errors", "recorded");
  }
  AddSystem(**tree, prefix, inventory);
}

void AddVfat(BlockSource& content, const std::string& prefix,
             bool is_efi_system, const Inventory& inventory) {
  inventory.leaves.Text(prefix + "/filesystem", "vfat");
  const auto tree = FatFileTree::Mount(content);
  if (!tree.ok()) {
    inventory.leaves.Unavailable(prefix, MessageOf(tree.status()));
    return;
  }
  if (is_efi_system || (*tree)->Find("EFI").ok()) {
    AddBootFiles(**tree, "", prefix, inventory);
  }
}

}  // namespace

void AddSystem(FileTree& tree, const std::string& prefix,
               const Inventory& inventory) {
  AddPackages(tree, prefix, inventory);
  AddBootFiles(tree, "boot", prefix, inventory);
  // A partition that is mounted at /boot.
  if (absl::IsNotFound(tree.Find("boot").status()) &&
      (tree.Find("grub").ok() || tree.Find("grub2").ok() ||
       tree.Find("loader").ok())) {
    AddBootFiles(tree, "", prefix, inventory);
  }
}

absl::Status AddContent(BlockSource& content, const std::string& prefix,
                        bool is_efi_system, const Inventory& inventory,
                        const Foreign& foreign) {
  ASSIGN_OR_RETURN(const ContentKind kind, RecogniseContent(content));
  if (kind == ContentKind::kExt) {
    AddExt(content, prefix, inventory);
    return absl::OkStatus();
  }
  if (kind == ContentKind::kVfat) {
    AddVfat(content, prefix, is_efi_system, inventory);
    return absl::OkStatus();
  }
  inventory.leaves.Text(prefix + "/filesystem", ToString(kind));
  if (NeedsAppliance(kind) && foreign && foreign(kind, content, prefix)) {
    return absl::OkStatus();
  }
  if (const std::string why = WhyNotRead(kind); !why.empty()) {
    inventory.leaves.Unavailable(prefix, why);
  }
  return absl::OkStatus();
}

}  // namespace vmattest::disk
