#include "disk/partition_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "disk/content_kind.h"

namespace vmattest::disk {
namespace {

constexpr size_t kSector = 512;
constexpr size_t kEntriesAt = 446;
constexpr size_t kEntrySize = 16;
constexpr uint8_t kProtectiveType = 0xEE;

std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0);
    }
    table[i] = value;
  }
  return table;
}

bool HasBootSignature(ByteView sector) {
  return sector[510] == 0x55 && sector[511] == 0xAA;
}

// Boot sectors of file systems end in the same signature; a table's flags are
// 0 or 0x80, which code or text there hardly is.
bool LooksLikeTable(const std::vector<MbrEntry>& entries) {
  return !entries.empty() &&
         std::all_of(entries.begin(), entries.end(), [](const MbrEntry& entry) {
           return (entry.flags & 0x7F) == 0;
         });
}

void MarkOverlaps(std::vector<Partition>& partitions) {
  std::vector<Partition*> by_begin;
  for (Partition& partition : partitions) {
    if (!partition.extended) {
      by_begin.push_back(&partition);
    }
  }
  std::stable_sort(by_begin.begin(), by_begin.end(),
                   [](const Partition* a, const Partition* b) {
                     return a->begin < b->begin;
                   });
  const Partition* furthest = nullptr;
  for (Partition* partition : by_begin) {
    if (furthest != nullptr &&
        partition->begin < furthest->begin + furthest->size) {
      partition->problems.push_back(
          fmt::format("overlaps partition {}", furthest->number));
    }
    if (furthest == nullptr ||
        partition->begin + partition->size > furthest->begin + furthest->size) {
      furthest = partition;
    }
  }
}

void MarkOutside(uint64_t disk_size, std::vector<Partition>& partitions) {
  for (Partition& partition : partitions) {
    partition.inside = partition.begin <= disk_size &&
                       partition.size <= disk_size - partition.begin;
    if (!partition.inside) {
      partition.problems.emplace_back("reaches past the end of the disk");
    }
  }
}

}  // namespace

uint32_t Crc32(ByteView data) {
  static const std::array<uint32_t, 256> table = MakeCrcTable();
  uint32_t crc = 0xFFFFFFFF;
  for (const uint8_t byte : data) {
    crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF];
  }
  return ~crc;
}

uint64_t LittleEndian(ByteView data, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = size; i-- > 0;) {
    value = value << 8 | data[at + i];
  }
  return value;
}

std::vector<MbrEntry> ParseMbrEntries(ByteView sector) {
  std::vector<MbrEntry> entries;
  for (uint32_t i = 0; i < 4; ++i) {
    const ByteView raw =
        sector.subspan(kEntriesAt + i * kEntrySize, kEntrySize);
    const MbrEntry entry{.number = i + 1,
                         .flags = raw[0],
                         .type = raw[4],
                         .first = LittleEndian(raw, 8, 4),
                         .count = LittleEndian(raw, 12, 4)};
    if (entry.type != 0 && entry.count != 0) {
      entries.push_back(entry);
    }
  }
  return entries;
}

absl::StatusOr<PartitionTable> ReadPartitionTable(BlockSource& disk) {
  PartitionTable table;
  if (disk.size() < kSector) {
    return table;
  }
  std::array<uint8_t, kSector> sector{};
  RETURN_IF_ERROR(disk.ReadAt(0, sector));
  const std::vector<MbrEntry> entries = ParseMbrEntries(sector);
  ASSIGN_OR_RETURN(const ContentKind content, RecogniseContent(disk));
  if (!HasBootSignature(sector) || !LooksLikeTable(entries) ||
      TakesWholeDisk(content)) {
    return table;
  }
  const bool protective = std::any_of(
      entries.begin(), entries.end(),
      [](const MbrEntry& entry) { return entry.type == kProtectiveType; });
  if (protective) {
    ASSIGN_OR_RETURN(table, ReadGpt(disk, entries));
  } else {
    ASSIGN_OR_RETURN(table, ReadMbr(disk, entries));
    table.guid = fmt::format("0x{:08x}", LittleEndian(sector, 440, 4));
  }
  MarkOutside(disk.size(), table.partitions);
  MarkOverlaps(table.partitions);
  return table;
}

}  // namespace vmattest::disk
