#ifndef VMATTEST_DISK_CONTENT_KIND_H_
#define VMATTEST_DISK_CONTENT_KIND_H_

#include <string>
#include <string_view>

#include "disk/block_source.h"

namespace vmattest::disk {

// What a partition holds, told by the signatures that libblkid uses.
enum class ContentKind : uint8_t {
  kUnknown,
  kEmpty,  // nothing but zeros where signatures would be
  kExt,
  kVfat,
  kLuks,
  kLvm2,
  kRaidMember,
  kXfs,
  kBtrfs,
  kSwap,
  kHibernation,
  kNtfs,
  kExfat,
  kBitLocker,
  kIso9660,
  kSquashfs,
  kErofs,
  kF2fs,
  kZfs,
};

// As in leaves: "ext" (its version is the reader's to say), "vfat", "luks"...
std::string_view ToString(ContentKind kind);

// As people write it: "XFS", "LVM physical volume".
std::string_view Title(ContentKind kind);

// Why its inside is not read; empty for what is.
std::string WhyNotRead(ContentKind kind);

// What is read by the kernel of an appliance (appliance.h), or not at all.
bool NeedsAppliance(ContentKind kind);

// Boot sectors of these look like a partition table.
bool TakesWholeDisk(ContentKind kind);

// Errors are those of BlockSource only. Any thread.
absl::StatusOr<ContentKind> RecogniseContent(BlockSource& source);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_CONTENT_KIND_H_
