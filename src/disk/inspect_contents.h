#ifndef VMATTEST_DISK_INSPECT_CONTENTS_H_
#define VMATTEST_DISK_INSPECT_CONTENTS_H_

#include <string>
#include <vector>

#include "disk/appliance.h"
#include "disk/inspect.h"
#include "inspection/disk_inspector.h"

namespace vmattest::disk {

// A part of a disk, and what the appliance calls it.
struct ApplianceContent {
  std::string prefix;  // of its leaves
  std::string device;
  uint64_t size = 0;  // bytes
};

// The leaves of what an appliance reads, by path: XFS, btrfs with its
// subvolumes, squashfs, and the logical volumes of LVM, which themselves hold
// these or what is read without the appliance's kernel (ext, FAT). What is
// damaged, unknown, or not wholly on this disk is a leaf of type unavailable.
// The byte limit is for each partition or volume.
//   DEADLINE_EXCEEDED: past the limit. Errors of the disk are passed on.
// Makes no system calls but those of `appliance` and of Inspect().
absl::StatusOr<std::vector<ConfigLeaf>> InspectContents(
    Appliance& appliance, const std::vector<ApplianceContent>& contents,
    HashAlgorithm algorithm, const InspectLimits& limits);

// What xfs_logprint's output means: "clean", "needs-recovery", "unknown".
std::string JournalOfXfsLog(std::string_view output);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_INSPECT_CONTENTS_H_
