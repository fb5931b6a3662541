#ifndef VMATTEST_TESTS_UNIT_DISK_DEBIAN_DISK_H_
#define VMATTEST_TESTS_UNIT_DISK_DEBIAN_DISK_H_

#include <cstdint>
#include <filesystem>
#include <string>

#include "support/vectors.h"
#include "unit/disk/disk_images.h"
#include "unit/disk/pe_builder.h"

namespace vmattest::testing {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

inline std::string DpkgStatus(const std::string& bash_version) {
  return "Package: bash\nStatus: install ok installed\nVersion: " +
         bash_version +
         "\nArchitecture: amd64\n\n"
         "Package: dash\nStatus: install ok unpacked\nVersion: 0.5\n"
         "Architecture: amd64\n";
}

inline DiskImages::Files RootFiles(const std::string& bash_version) {
  return {{"var/lib/dpkg/status", DpkgStatus(bash_version)},
          {"var/lib/dpkg/info/bash.md5sums", "0123  usr/bin/bash\n"},
          {"usr/lib/os-release", "ID=debian\nVERSION_ID=12\n"},
          {"etc/os-release", "-> ../usr/lib/os-release"},
          {"boot/vmlinuz-6.1", MakePe({.sections = {"kernel"}})},
          {"boot/grub/grub.cfg", "linux /vmlinuz-6.1\n"}};
}

// A GPT disk: BIOS boot, EFI system partition, Linux root, as Debian's cloud
// images have them.
class DebianDisk {
 public:
  static constexpr uint64_t kEfiAt = 2 * kMiB;
  static constexpr uint64_t kRootAt = 8 * kMiB;
  static constexpr uint64_t kRootSize = 24 * kMiB;

  explicit DebianDisk(const std::string& bash_version) {
    path_ = images_.MakeEmpty("disk", 34 * kMiB);
    DiskImages::WriteAt(path_, 0, Table());
    DiskImages::Insert(path_, kEfiAt,
                       images_.MakeVfat("esp",
                                        {{"EFI/BOOT/BOOTX64.EFI", Loader()},
                                         {"EFI/debian/grub.cfg", "search\n"}},
                                        4 * kMiB, {"-i", "12345678"}));
    SetRoot(RootFiles(bash_version));
  }
  // One identity, so that images differ in their files only.
  void SetRoot(const DiskImages::Files& files) {
    std::filesystem::remove_all(images_.Path("files"));
    DiskImages::Insert(
        path_, kRootAt,
        images_.MakeExt(
            "root", images_.MakeFolder("files", files), kRootSize,
            {"-t", "ext4", "-U", "11111111-2222-3333-4444-555555555555"}));
  }
  static std::string Loader() { return MakePe({.sections = {"loader"}}); }
  [[nodiscard]] const std::string& path() const { return path_; }
  DiskImages& images() { return images_; }

 private:
  // sgdisk waits for all of the machine's disks: once for all tests.
  static const std::string& Table() {
    static const std::string content = [] {
      DiskImages images;
      const std::string image = images.MakeEmpty("disk", 34 * kMiB);
      DiskImages::Run({"sgdisk", "-n", "1:2048:+1M", "-t", "1:ef02", "-n",
                       "2:4096:+4M", "-t", "2:ef00", "-n", "3:16384:+24M", "-t",
                       "3:8304", "-c", "3:root", image});
      return Slurp(image);
    }();
    return content;
  }

  DiskImages images_;
  std::string path_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_UNIT_DISK_DEBIAN_DISK_H_
