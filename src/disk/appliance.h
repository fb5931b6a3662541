#ifndef VMATTEST_DISK_APPLIANCE_H_
#define VMATTEST_DISK_APPLIANCE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "disk/file_tree.h"

namespace vmattest::disk {

// A small virtual machine whose kernel reads what no library of ours does: file
// systems and LVM on devices that it was given. Nothing that it says is
// believed: it parses what a guest wrote. One thread.
//
// DATA_LOSS, as a sentence: the kernel refuses, or finds damage. UNAVAILABLE:
// it is gone, and so will be all that is asked later. Bytes are read as they
// are on the disk, journals are not replayed.
class Appliance {
 public:
  virtual ~Appliance() = default;

  // What befell the disk itself meanwhile, whatever the calls said.
  [[nodiscard]] virtual absl::Status disk_failure() const = 0;

  // Fills `buffer`, at most kMaxRead bytes, from a device.
  virtual absl::Status ReadDevice(const std::string& device, uint64_t offset,
                                  std::span<uint8_t> buffer) = 0;

  struct PhysicalVolume {
    std::string device;
    std::string uuid;
  };
  struct Group {
    std::string name;
    std::string uuid;
    std::vector<std::string> physical;  // UUIDs, also of absent ones
  };
  struct LogicalVolume {
    std::string group;
    std::string name;
    std::string uuid;
    std::string device;
    uint64_t size = 0;  // bytes
  };
  struct Lvm {
    std::vector<PhysicalVolume> physical;
    std::vector<Group> groups;
    std::vector<LogicalVolume> logical;  // those that can be read
  };
  virtual absl::StatusOr<Lvm> ReadLvm() = 0;

  // What xfs_logprint says of the log of an XFS that is not mounted.
  virtual absl::StatusOr<std::string> XfsLog(const std::string& device) = 0;

  // One file system at a time, with options of mount(8) that say "ro".
  virtual absl::Status Mount(const std::string& device,
                             const std::string& options) = 0;
  virtual absl::Status Unmount() = 0;

  // Of the btrfs that is mounted, in no order, without the top (5).
  struct Subvolume {
    uint64_t id = 0;
    std::string path;  // from the top
  };
  virtual absl::StatusOr<std::vector<Subvolume>> Subvolumes() = 0;
  // What is mounted if nobody says which.
  virtual absl::StatusOr<uint64_t> DefaultSubvolume() = 0;

  // In the file system that is mounted. Paths begin with "/".
  struct File {
    std::string path;  // of List(): the name
    FileEntry::Kind kind = FileEntry::Kind::kOther;
    uint64_t size = 0;  // bytes
  };
  // Links are followed, and end inside: the path without them. NOT_FOUND.
  virtual absl::StatusOr<File> Find(const std::string& path) = 0;
  // In no order, "." and ".." left out. RESOURCE_EXHAUSTED: kMaxFolderEntries.
  virtual absl::StatusOr<std::vector<File>> List(const std::string& folder) = 0;
  // Fills `buffer`, at most kMaxRead bytes; all must be there.
  virtual absl::Status ReadFile(const std::string& path, uint64_t offset,
                                std::span<uint8_t> buffer) = 0;

  static constexpr size_t kMaxRead = size_t{1} << 20;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_APPLIANCE_H_
