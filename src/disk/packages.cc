#include "disk/packages.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "disk/dpkg.h"
#include "disk/os_release.h"
#include "disk/rpm_database.h"

namespace vmattest::disk {
namespace {

// Room that packages leave for everything else.
constexpr size_t kReserve = 500;

// The package folder in a root, in what is mounted at /var, and at /usr.
constexpr std::string_view kDpkgFolders[] = {"var/lib/dpkg", "lib/dpkg"};
constexpr std::string_view kRpmFolders[] = {
    "usr/lib/sysimage/rpm", "var/lib/rpm", "lib/sysimage/rpm", "lib/rpm"};

std::string KeyOf(const InstalledPackage& package) {
  return EscapeLeafKey(package.architecture.empty()
                           ? package.name
                           : package.name + ":" + package.architecture);
}

std::string ValueOf(const InstalledPackage& package) {
  std::string value = package.version + " " + package.manifest;
  if (!package.state.empty()) {
    value += " state=" + package.state;
  }
  return value;
}

using Packages = absl::StatusOr<std::vector<InstalledPackage>>;

void AddDatabase(std::string_view format, const Packages& packages,
                 const std::string& prefix, const Inventory& inventory) {
  LeafList& leaves = inventory.leaves;
  const std::string count_leaf = fmt::format("{}/packages/{}", prefix, format);
  if (!packages.ok()) {
    leaves.Unavailable(count_leaf, std::string(packages.status().message()));
    return;
  }
  // Several versions of one package are one leaf, in the order of their text.
  std::map<std::string, std::set<std::string>> by_key;
  for (const InstalledPackage& package : *packages) {
    by_key[KeyOf(package)].insert(ValueOf(package));
  }
  const size_t room = leaves.room() > kReserve ? leaves.room() - kReserve : 0;
  if (by_key.size() > room) {
    leaves.Unavailable(count_leaf, fmt::format("more than {} packages", room));
    return;
  }
  leaves.Text(count_leaf, std::to_string(packages->size()));
  for (const auto& [key, values] : by_key) {
    leaves.Text(fmt::format("{}/package[{}]", prefix, key),
                fmt::format("{}", fmt::join(values, ", ")));
  }
}

// Reads each database once, by whatever name it is found: one folder is often a
// link to another.
template <class Read>
void AddFrom(FileTree& tree, std::string_view format,
             const std::vector<std::string>& folders, const std::string& prefix,
             const Inventory& inventory, const Read& read) {
  std::set<uint64_t> seen;
  for (const std::string& folder : folders) {
    const absl::StatusOr<FileEntry> found = tree.Find(folder);
    if (absl::IsNotFound(found.status()) ||
        (found.ok() && !seen.insert(found->id).second)) {
      continue;
    }
    const Packages packages =
        found.ok() ? read(folder) : Packages(found.status());
    if (!absl::IsNotFound(packages.status())) {
      AddDatabase(format, packages, prefix, inventory);
    }
  }
}

}  // namespace

void AddPackages(FileTree& tree, const std::string& prefix,
                 const Inventory& inventory) {
  const absl::StatusOr<std::string> os = ReadOsRelease(tree);
  if (os.ok() && !os->empty()) {
    inventory.leaves.Text(prefix + "/os", *os);
  } else if (!os.ok() && !absl::IsNotFound(os.status())) {
    inventory.leaves.Unavailable(prefix + "/os",
                                 std::string(os.status().message()));
  }
  AddFrom(tree, "dpkg", {std::begin(kDpkgFolders), std::end(kDpkgFolders)},
          prefix, inventory, [&](const std::string& folder) {
            return ReadDpkgDatabase(tree, folder, inventory.algorithm);
          });
  AddFrom(tree, "rpm", {std::begin(kRpmFolders), std::end(kRpmFolders)}, prefix,
          inventory, [&](const std::string& folder) {
            return ReadRpmDatabase(tree, folder);
          });
}

}  // namespace vmattest::disk
