#ifndef VMATTEST_DISK_PACKAGES_H_
#define VMATTEST_DISK_PACKAGES_H_

#include <string>

#include "disk/boot_files.h"

namespace vmattest::disk {

// The system that a file system holds, whole or the part of it that is mounted
// at /var or /usr: leaves "PREFIX/os", "PREFIX/packages/FORMAT" (how many),
// "PREFIX/package[NAME:ARCH]", with the unavailable ones where they cannot be
// had. One thread.
void AddPackages(FileTree& tree, const std::string& prefix,
                 const Inventory& inventory);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_PACKAGES_H_
