#ifndef VMATTEST_TESTS_SUPPORT_PACKAGE_DISK_H_
#define VMATTEST_TESTS_SUPPORT_PACKAGE_DISK_H_

#include <filesystem>
#include <fstream>
#include <string>

#include "base/status.h"
#include "fmt/format.h"
#include "support/run_command.h"

namespace vmattest::testing {

// FOLDER/disk.qcow2, made anew: a partition, ext4, and a dpkg database with
// bash of that version and one package more.
inline absl::Status MakePackageDisk(const std::filesystem::path& folder,
                                    const std::string& bash_version) {
  const std::filesystem::path root = folder / "root";
  std::filesystem::create_directories(root / "var/lib/dpkg/info");
  std::ofstream(root / "var/lib/dpkg/status")
      << "Package: bash\nStatus: install ok installed\nArchitecture: amd64\n"
         "Version: "
      << bash_version
      << "\n\nPackage: zlib1g\nStatus: install ok installed\n"
         "Architecture: amd64\nVersion: 1:1.2.13\n\n";
  return RunCommand(
             {"sh", "-c",
              fmt::format(
                  "set -e; cd {}; rm -f fs.img disk.qcow2; "
                  "truncate -s 34M fs.img; "
                  "echo 'start=2048, type=83' | sfdisk -q fs.img; "
                  "mkfs.ext4 -q -F -U 6f1c9a52-9b1e-4c57-8d0a-3f8f2c1d7e90 "
                  "-E offset=1048576 -d root fs.img "
                  "32M; qemu-img convert -q -O qcow2 fs.img "
                  "disk.qcow2; rm fs.img",
                  folder.string())})
      .status();
}

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_PACKAGE_DISK_H_
