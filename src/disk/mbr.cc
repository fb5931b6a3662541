#include <fmt/format.h>

#include <array>
#include <set>

#include "disk/partition_table.h"

namespace vmattest::disk {
namespace {

constexpr uint64_t kSector = 512;
constexpr uint32_t kMaxLogical = 128;

bool IsExtended(uint8_t type) {
  return type == 0x05 || type == 0x0F || type == 0x85;
}

Partition ToPartition(uint32_t number, const MbrEntry& entry, uint64_t base) {
  return {.number = number,
          .begin = (base + entry.first) * kSector,
          .size = entry.count * kSector,
          .type = fmt::format("0x{:02x}", entry.type),
          .guid = {},
          .name = {},
          .extended = IsExtended(entry.type),
          .inside = true,
          .problems = {}};
}

// Follows the chain of extended boot records inside `container`: each has one
// logical partition, counted from itself, and the next record, counted from the
// container.
absl::Status ReadLogical(BlockSource& disk, const MbrEntry& container,
                         PartitionTable& table) {
  std::set<uint64_t> seen;
  uint32_t number = 5;
  uint64_t record = container.first;
  while (true) {
    if (!seen.insert(record).second) {
      table.problems.emplace_back("the chain of logical partitions is a loop");
      return absl::OkStatus();
    }
    if (seen.size() > kMaxLogical) {
      table.problems.push_back(
          fmt::format("more than {} logical partitions", kMaxLogical));
      return absl::OkStatus();
    }
    std::array<uint8_t, kSector> sector{};
    if (record < container.first ||
        record - container.first >= container.count ||
        !CheckRange(disk, record * kSector, kSector).ok()) {
      table.problems.emplace_back(
          "the chain of logical partitions leaves its container");
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(disk.ReadAt(record * kSector, sector));
    if (sector[510] != 0x55 || sector[511] != 0xAA) {
      table.problems.emplace_back("an extended boot record has no signature");
      return absl::OkStatus();
    }
    const MbrEntry* next = nullptr;
    const std::vector<MbrEntry> entries = ParseMbrEntries(sector);
    for (const MbrEntry& entry : entries) {
      if (IsExtended(entry.type)) {
        next = next == nullptr ? &entry : next;
      } else if (entry.number <= 2) {
        table.partitions.push_back(ToPartition(number++, entry, record));
        const Partition& added = table.partitions.back();
        if (added.begin + added.size >
            (container.first + container.count) * kSector) {
          table.partitions.back().problems.emplace_back(
              "reaches past the extended partition");
        }
      }
    }
    if (next == nullptr) {
      return absl::OkStatus();
    }
    record = container.first + next->first;
  }
}

}  // namespace

absl::StatusOr<PartitionTable> ReadMbr(BlockSource& disk,
                                       const std::vector<MbrEntry>& primary) {
  PartitionTable table;
  table.kind = PartitionTable::Kind::kDos;
  for (const MbrEntry& entry : primary) {
    table.partitions.push_back(ToPartition(entry.number, entry, 0));
  }
  bool followed = false;
  for (const MbrEntry& entry : primary) {
    if (IsExtended(entry.type)) {
      if (followed) {
        table.problems.emplace_back("more than one extended partition");
        break;
      }
      followed = true;
      RETURN_IF_ERROR(ReadLogical(disk, entry, table));
    }
  }
  return table;
}

}  // namespace vmattest::disk
