#include "disk/content_kind.h"

#include <fmt/format.h>

#include <algorithm>

namespace vmattest::disk {
namespace {

// Everything but ZFS has its signature in the first 68 KiB.
constexpr size_t kWindow = size_t{68} << 10;

struct Signature {
  ContentKind kind;
  uint64_t at;
  std::string_view bytes;
};

using namespace std::string_view_literals;

// The first that fits is taken: containers before what they contain.
constexpr Signature kSignatures[] = {
    {ContentKind::kLuks, 0, "LUKS\xba\xbe"sv},
    {ContentKind::kLvm2, 0, "LABELONE"sv},
    {ContentKind::kLvm2, 512, "LABELONE"sv},
    {ContentKind::kLvm2, 1024, "LABELONE"sv},
    {ContentKind::kLvm2, 1536, "LABELONE"sv},
    {ContentKind::kRaidMember, 0, "\xfc\x4e\x2b\xa9"sv},
    {ContentKind::kRaidMember, 4096, "\xfc\x4e\x2b\xa9"sv},
    {ContentKind::kBitLocker, 3, "-FVE-FS-"sv},
    {ContentKind::kNtfs, 3, "NTFS    "sv},
    {ContentKind::kExfat, 3, "EXFAT   "sv},
    {ContentKind::kXfs, 0, "XFSB"sv},
    {ContentKind::kSquashfs, 0, "hsqs"sv},
    {ContentKind::kBtrfs, 0x10040, "_BHRfS_M"sv},
    {ContentKind::kErofs, 1024, "\xe2\xe1\xf5\xe0"sv},
    {ContentKind::kF2fs, 1024, "\x10\x20\xf5\xf2"sv},
    {ContentKind::kExt, 1024 + 56, "\x53\xef"sv},
    {ContentKind::kSwap, 4096 - 10, "SWAPSPACE2"sv},
    {ContentKind::kSwap, 65536 - 10, "SWAPSPACE2"sv},
    {ContentKind::kHibernation, 4096 - 10, "S1SUSPEND"sv},
    {ContentKind::kHibernation, 65536 - 10, "S1SUSPEND"sv},
    {ContentKind::kIso9660, 0x8001, "CD001"sv},
};

bool Has(std::string_view text, uint64_t at, std::string_view bytes) {
  return at + bytes.size() <= text.size() &&
         text.substr(at, bytes.size()) == bytes;
}

// Microsoft's FAT specification, section 3: jump, sectors of a power of two,
// clusters of a power of two, one or two tables, and the name of the type that
// every formatter writes.
bool IsFat(std::string_view text) {
  const auto byte = [text](size_t at) {
    return static_cast<unsigned char>(text[at]);
  };
  if (text.size() < 512 || byte(510) != 0x55 || byte(511) != 0xAA ||
      (byte(0) != 0xEB && byte(0) != 0xE9)) {
    return false;
  }
  const unsigned sector = byte(11) + byte(12) * 256U;
  const unsigned cluster = byte(13);
  return sector >= 512 && sector <= 4096 && (sector & (sector - 1)) == 0 &&
         cluster != 0 && (cluster & (cluster - 1)) == 0 && byte(16) >= 1 &&
         byte(16) <= 2 && (Has(text, 54, "FAT"sv) || Has(text, 82, "FAT"sv));
}

// An uberblock in the first label's ring of them (128 KiB from its start).
absl::StatusOr<bool> IsZfs(BlockSource& source) {
  constexpr uint64_t kRing = uint64_t{128} << 10;
  constexpr uint64_t kLabel = uint64_t{256} << 10;
  if (source.size() < 4 * kLabel) {
    return false;
  }
  Bytes ring(kRing);
  RETURN_IF_ERROR(source.ReadAt(kRing, ring));
  for (size_t at = 0; at < ring.size(); at += 1024) {
    if (Has(AsText(ring), at, "\x0c\xb1\xba\x00\x00\x00\x00\x00"sv)) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string_view ToString(ContentKind kind) {
  switch (kind) {
    case ContentKind::kUnknown:
      return "unknown";
    case ContentKind::kEmpty:
      return "empty";
    case ContentKind::kExt:
      return "ext";
    case ContentKind::kVfat:
      return "vfat";
    case ContentKind::kLuks:
      return "luks";
    case ContentKind::kLvm2:
      return "lvm2";
    case ContentKind::kRaidMember:
      return "raid-member";
    case ContentKind::kXfs:
      return "xfs";
    case ContentKind::kBtrfs:
      return "btrfs";
    case ContentKind::kSwap:
      return "swap";
    case ContentKind::kHibernation:
      return "hibernation";
    case ContentKind::kNtfs:
      return "ntfs";
    case ContentKind::kExfat:
      return "exfat";
    case ContentKind::kBitLocker:
      return "bitlocker";
    case ContentKind::kIso9660:
      return "iso9660";
    case ContentKind::kSquashfs:
      return "squashfs";
    case ContentKind::kErofs:
      return "erofs";
    case ContentKind::kF2fs:
      return "f2fs";
    case ContentKind::kZfs:
      return "zfs";
  }
  return "unknown";
}

std::string_view Title(ContentKind kind) {
  switch (kind) {
    case ContentKind::kLvm2:
      return "LVM physical volume";
    case ContentKind::kRaidMember:
      return "RAID member";
    case ContentKind::kXfs:
      return "XFS";
    case ContentKind::kBtrfs:
      return "btrfs";
    case ContentKind::kNtfs:
      return "NTFS";
    case ContentKind::kExfat:
      return "exFAT";
    case ContentKind::kIso9660:
      return "ISO 9660";
    case ContentKind::kSquashfs:
      return "squashfs";
    case ContentKind::kErofs:
      return "EROFS";
    case ContentKind::kF2fs:
      return "F2FS";
    case ContentKind::kZfs:
      return "ZFS";
    default:
      return ToString(kind);
  }
}

std::string WhyNotRead(ContentKind kind) {
  switch (kind) {
    case ContentKind::kEmpty:
    case ContentKind::kExt:
    case ContentKind::kVfat:
    case ContentKind::kSwap:
      return "";
    case ContentKind::kUnknown:
      return "unknown content";
    case ContentKind::kLuks:
      return "encrypted (LUKS)";
    case ContentKind::kBitLocker:
      return "encrypted (BitLocker)";
    case ContentKind::kHibernation:
      return "hibernation image";
    default:
      return fmt::format("{}: not read", Title(kind));
  }
}

bool NeedsAppliance(ContentKind kind) {
  return kind == ContentKind::kXfs || kind == ContentKind::kBtrfs ||
         kind == ContentKind::kLvm2 || kind == ContentKind::kSquashfs;
}

bool TakesWholeDisk(ContentKind kind) {
  return kind == ContentKind::kVfat || kind == ContentKind::kNtfs ||
         kind == ContentKind::kExfat || kind == ContentKind::kBitLocker;
}

absl::StatusOr<ContentKind> RecogniseContent(BlockSource& source) {
  Bytes window(std::min<uint64_t>(kWindow, source.size()));
  RETURN_IF_ERROR(source.ReadAt(0, window));
  const std::string_view text = AsText(window);
  for (const Signature& signature : kSignatures) {
    if (Has(text, signature.at, signature.bytes)) {
      return signature.kind;
    }
  }
  if (IsFat(text)) {
    return ContentKind::kVfat;
  }
  ASSIGN_OR_RETURN(const bool zfs, IsZfs(source));
  if (zfs) {
    return ContentKind::kZfs;
  }
  const bool empty = text.find_first_not_of('\0') == std::string_view::npos;
  return empty ? ContentKind::kEmpty : ContentKind::kUnknown;
}

}  // namespace vmattest::disk
