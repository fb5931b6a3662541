#ifndef VMATTEST_DISK_DPKG_H_
#define VMATTEST_DISK_DPKG_H_

#include <string>
#include <string_view>
#include <vector>

#include "disk/file_tree.h"
#include "vmattest/types/digest.h"

// What dpkg knows to be installed (deb-control(5), dpkg(1) "package states").
// One thread.

namespace vmattest::disk {

// A package that is there, wholly or in part.
struct InstalledPackage {
  std::string name;
  std::string version;
  std::string architecture;
  std::string state;     // "" if installed; else "half-configured"...
  std::string manifest;  // "md5sums=sha256:HEX", "header=sha256:HEX"
};

// Packages of a status file, in its order. Ones that are only known, or whose
// configuration files are left, are none. A paragraph without "Status" is of a
// folder status.d, where all are installed. DATA_LOSS: a paragraph without
// name; RESOURCE_EXHAUSTED: more than 100,000 packages.
absl::StatusOr<std::vector<InstalledPackage>> ParseDpkgStatus(
    std::string_view text);

// Of the database in `folder` ("var/lib/dpkg") of `tree`, manifests included.
// NOT_FOUND: there is none.
absl::StatusOr<std::vector<InstalledPackage>> ReadDpkgDatabase(
    FileTree& tree, const std::string& folder, HashAlgorithm algorithm);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_DPKG_H_
