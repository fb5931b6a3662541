#ifndef VMATTEST_INSPECTION_DISK_INSPECTOR_H_
#define VMATTEST_INSPECTION_DISK_INSPECTOR_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "vmattest/types/config_leaf.h"
#include "vmattest/types/digest.h"

namespace vmattest::inspection {

// How far disks are looked into. In requests, statements and configuration:
// "none", "inventory", "full".
enum class InsidePolicy : uint8_t {
  kNone,
  kInventory,  // packages, boot files, kernels
  kFull,       // and the digest of all guest-visible bytes
};
std::string_view ToString(InsidePolicy policy);
absl::StatusOr<InsidePolicy> ParseInsidePolicy(std::string_view name);

// The digest of guest-visible bytes: a tree of 1 MiB blocks, "sha256-tree"
// (docs/formats/disk-inventory.md), so that holes cost nothing.
std::string GuestDigestName(HashAlgorithm algorithm);

// A part of a disk that vmattest-worker does not read and libguestfs may: XFS,
// btrfs, LVM.
struct UnreadContent {
  std::string prefix;  // of its leaves: "partition[2]"
  std::string title;   // "XFS"
  uint64_t begin = 0;  // bytes
  uint64_t size = 0;   // bytes
};

// What was found inside one disk. Leaves are in no order and relative to the
// disk; docs/formats/disk-inventory.md has their names:
//   "table"                          text: "gpt", "dos", "none"
//   "partition[2]/filesystem"        text: "ext4", "vfat", ...
//   "partition[2]/package[bash:amd64]"  text: "5.2.15-2+b7 md5sums=sha256:..."
//   "partition[1]/boot[EFI/BOOT/BOOTX64.EFI]" digest, ".../authenticode" digest
//   "partition[3]"                   unavailable: "encrypted (LUKS)" and so on
struct DiskReport {
  uint64_t size = 0;  // guest-visible bytes
  std::optional<DigestBytes> guest_digest;
  std::vector<ConfigLeaf> leaves;
  // By its place. Each has an "unavailable" leaf as well. Only between a worker
  // and the DiskInspector, which leaves none.
  std::vector<UnreadContent> unread;
};

// Looks into the disks of VMs. What is inside is the guest's to choose: it is
// parsed in a process of its own that can do nothing else (rule S25). Callable
// from any thread; blocks for as long as that takes.
//   NOT_FOUND, PERMISSION_DENIED: a file. ABORTED: it changed meanwhile.
//   DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED: the disk made the worker take too
//   long or too much. UNAVAILABLE: no worker, or a crashed one.
//   CANCELLED: `cancelled` returned true.
// A file system that cannot be read is no error but an "unavailable" leaf.
class DiskInspector {
 public:
  virtual ~DiskInspector() = default;
  struct Request {
    std::string path;    // of the top image, absolute
    std::string format;  // "raw", "qcow2"
    // Not empty: what runs has the image open for writing; it is read at one
    // point in time through libvirt. The VM's UUID and the disk's target.
    std::string running_vm;
    std::string target;
    HashAlgorithm algorithm = HashAlgorithm::kSha256;
    InsidePolicy inside = InsidePolicy::kInventory;
    std::function<void(uint64_t bytes)> progress;  // may be empty
    std::function<bool()> cancelled;               // may be empty
  };
  virtual absl::StatusOr<DiskReport> Inspect(const Request& request) = 0;
};

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_DISK_INSPECTOR_H_
