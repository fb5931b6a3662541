#ifndef VMATTEST_DISK_CONTENT_H_
#define VMATTEST_DISK_CONTENT_H_

#include <functional>
#include <string>

#include "disk/block_source.h"
#include "disk/boot_files.h"
#include "disk/content_kind.h"
#include "disk/file_tree.h"

// What a partition or a logical volume holds, as leaves. One thread.

namespace vmattest::disk {

// Whoever may know more about content that needs an appliance: true if it added
// all there is to say. May be empty.
using Foreign = std::function<bool(ContentKind kind, BlockSource& content,
                                   const std::string& prefix)>;

// "PREFIX/filesystem" and what is below, or an unavailable leaf "PREFIX".
// Errors are those of `content` only.
absl::Status AddContent(BlockSource& content, const std::string& prefix,
                        bool is_efi_system, const Inventory& inventory,
                        const Foreign& foreign);

// The system in one file system: os, packages, boot files.
void AddSystem(FileTree& tree, const std::string& prefix,
               const Inventory& inventory);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_CONTENT_H_
