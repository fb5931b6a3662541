#ifndef VMATTEST_DISK_OS_RELEASE_H_
#define VMATTEST_DISK_OS_RELEASE_H_

#include <string>
#include <string_view>

#include "disk/file_tree.h"

namespace vmattest::disk {

// "ID VERSION_ID" of an os-release file (os-release(5)): "debian 12"; only the
// ID if there is no version. Empty if there is no ID either.
std::string ParseOsRelease(std::string_view text);

// Of etc/os-release or usr/lib/os-release. NOT_FOUND: neither is there.
absl::StatusOr<std::string> ReadOsRelease(FileTree& tree);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_OS_RELEASE_H_
