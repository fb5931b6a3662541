#ifndef VMATTEST_DISK_BOOT_FILES_H_
#define VMATTEST_DISK_BOOT_FILES_H_

#include <string>

#include "disk/budget.h"
#include "disk/file_tree.h"
#include "disk/leaf_list.h"

// The files that a machine starts from: boot loaders, kernels, initial RAM
// disks and their configuration. One thread.

namespace vmattest::disk {

// Where leaves go, and what reading may cost.
struct Inventory {
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  Budget& budget;
  LeafList& leaves;
};

// Leaves "PREFIX/boot[PATH]" for every file below `folder` of `tree`, links
// left out, and "PREFIX/boot[PATH]/authenticode" for PE images. What cannot be
// read is an unavailable leaf there. `folder` "" is the root. Without such a
// folder there are none.
void AddBootFiles(FileTree& tree, const std::string& folder,
                  const std::string& prefix, const Inventory& inventory);

// The digest of a file, or of a partition; it pays for holes as for data.
// RESOURCE_EXHAUSTED: more than `max_size` bytes.
absl::StatusOr<DigestBytes> DigestOf(BlockSource& file, uint64_t max_size,
                                     const Inventory& inventory);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_BOOT_FILES_H_
