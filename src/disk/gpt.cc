#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "disk/partition_table.h"

// UEFI 2.10, section 5.3: the header's fields by their offsets in table 5.5,
// the entry's in table 5.6.

namespace vmattest::disk {
namespace {

constexpr std::string_view kSignature = "EFI PART";
constexpr size_t kLeastHeader = 92;
constexpr uint32_t kMaxEntries = 1024;
constexpr uint32_t kLeastEntry = 128;
constexpr uint32_t kMaxEntry = 4096;

struct GptCopy {
  Bytes header;  // its CRC field zeroed
  Bytes entries;
  uint32_t entry_size = 0;
};

// A copy, or what is wrong with it.
using CopyOrProblem = std::pair<std::optional<GptCopy>, std::string>;

CopyOrProblem Wrong(std::string problem) {
  return {std::nullopt, std::move(problem)};
}

// Mixed-endian, as RFC 4122 GUIDs are stored by UEFI.
std::string GuidText(ByteView raw) {
  return fmt::format("{:08x}-{:04x}-{:04x}-{:02x}{:02x}-{}",
                     LittleEndian(raw, 0, 4), LittleEndian(raw, 4, 2),
                     LittleEndian(raw, 6, 2), raw[8], raw[9],
                     ToHex(raw.subspan(10, 6)));
}

void AppendUtf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// UTF-16LE up to the first zero; halves of surrogate pairs one by one, which
// is no UTF-8 but keeps different labels different.
std::string LabelText(ByteView raw) {
  std::string text;
  for (size_t i = 0; i + 1 < raw.size(); i += 2) {
    const auto code = static_cast<uint32_t>(LittleEndian(raw, i, 2));
    if (code == 0) {
      break;
    }
    AppendUtf8(text, code);
  }
  return text;
}

absl::StatusOr<CopyOrProblem> ReadCopy(BlockSource& disk, uint64_t sector_size,
                                       uint64_t lba) {
  GptCopy copy;
  Bytes sector(sector_size);
  if (!CheckRange(disk, lba * sector_size, sector_size).ok()) {
    return Wrong("the disk is too small");
  }
  RETURN_IF_ERROR(disk.ReadAt(lba * sector_size, sector));
  if (AsText(sector).substr(0, kSignature.size()) != kSignature) {
    return Wrong("no signature");
  }
  const uint64_t header_size = LittleEndian(sector, 12, 4);
  if (header_size < kLeastHeader || header_size > sector_size) {
    return Wrong(fmt::format("a header of {} bytes", header_size));
  }
  copy.header.assign(sector.begin(),
                     sector.begin() + static_cast<ptrdiff_t>(header_size));
  std::fill_n(copy.header.begin() + 16, 4, uint8_t{0});
  if (Crc32(copy.header) != LittleEndian(sector, 16, 4)) {
    return Wrong("wrong header checksum");
  }
  if (LittleEndian(sector, 24, 8) != lba) {
    return Wrong("a header that belongs elsewhere");
  }
  const uint64_t entries_lba = LittleEndian(sector, 72, 8);
  const uint64_t count = LittleEndian(sector, 80, 4);
  const uint64_t entry_size = LittleEndian(sector, 84, 4);
  if (count > kMaxEntries || entry_size < kLeastEntry ||
      entry_size > kMaxEntry || entry_size % 8 != 0) {
    return Wrong(fmt::format("{} entries of {} bytes", count, entry_size));
  }
  if (entries_lba > disk.size() / sector_size ||
      !CheckRange(disk, entries_lba * sector_size, count * entry_size).ok()) {
    return Wrong("entries past the end of the disk");
  }
  copy.entries.resize(count * entry_size);
  copy.entry_size = static_cast<uint32_t>(entry_size);
  RETURN_IF_ERROR(disk.ReadAt(entries_lba * sector_size, copy.entries));
  if (Crc32(copy.entries) != LittleEndian(sector, 88, 4)) {
    return Wrong("wrong checksum of the entries");
  }
  return CopyOrProblem(std::move(copy), "");
}

void AddPartitions(const GptCopy& copy, PartitionTable& table) {
  const ByteView entries = copy.entries;
  const uint64_t last_lba = UINT64_MAX / table.sector_size;
  for (size_t at = 0; at + copy.entry_size <= entries.size();
       at += copy.entry_size) {
    const ByteView entry = entries.subspan(at, copy.entry_size);
    if (std::all_of(entry.begin(), entry.begin() + 16,
                    [](uint8_t byte) { return byte == 0; })) {
      continue;
    }
    Partition partition;
    partition.number = static_cast<uint32_t>(at / copy.entry_size) + 1;
    partition.type = GuidText(entry.first(16));
    partition.guid = GuidText(entry.subspan(16, 16));
    partition.name = LabelText(entry.subspan(56, 72));
    const uint64_t first = LittleEndian(entry, 32, 8);
    const uint64_t last = LittleEndian(entry, 40, 8);
    if (last < first || last >= last_lba) {
      partition.problems.emplace_back("ends before it begins");
    } else {
      partition.begin = first * table.sector_size;
      partition.size = (last - first + 1) * table.sector_size;
      if (first < LittleEndian(copy.header, 40, 8) ||
          last > LittleEndian(copy.header, 48, 8)) {
        partition.problems.emplace_back("outside the table's usable range");
      }
    }
    table.partitions.push_back(std::move(partition));
  }
}

// A hybrid MBR shows old systems partitions of its own.
void CompareWithMbr(const std::vector<MbrEntry>& mbr, PartitionTable& table) {
  for (const MbrEntry& entry : mbr) {
    if (entry.type == 0xEE) {
      continue;
    }
    const bool known = std::any_of(
        table.partitions.begin(), table.partitions.end(),
        [&](const Partition& partition) {
          return partition.begin == entry.first * table.sector_size &&
                 partition.size == entry.count * table.sector_size;
        });
    table.problems.push_back(fmt::format(
        "hybrid MBR: entry {} of type 0x{:02x} {}", entry.number, entry.type,
        known ? "is a partition of the GPT too" : "is not in the GPT"));
  }
}

// The fields that both copies share: the disk's identity and usable range, and
// the entries.
bool Agree(const GptCopy& primary, const GptCopy& backup) {
  const auto shared = [](const GptCopy& copy) {
    return ByteView(copy.header).subspan(40, 32);
  };
  return ToBytes(shared(primary)) == ToBytes(shared(backup)) &&
         primary.entries == backup.entries;
}

absl::StatusOr<PartitionTable> ReadWithSector(BlockSource& disk,
                                              uint32_t sector_size) {
  PartitionTable table;
  table.sector_size = sector_size;
  const uint64_t sectors = disk.size() / sector_size;
  ASSIGN_OR_RETURN(CopyOrProblem primary, ReadCopy(disk, sector_size, 1));
  const uint64_t backup_lba =
      primary.first ? LittleEndian(primary.first->header, 32, 8) : sectors - 1;
  CopyOrProblem backup = Wrong("past the end of the disk");
  if (backup_lba < sectors) {
    ASSIGN_OR_RETURN(backup, ReadCopy(disk, sector_size, backup_lba));
  }
  if (!primary.first) {
    table.problems.push_back("primary GPT: " + primary.second);
  }
  if (!backup.first) {
    table.problems.push_back("backup GPT: " + backup.second);
  }
  if (!primary.first && !backup.first) {
    table.kind = PartitionTable::Kind::kDamaged;
    return table;
  }
  if (primary.first && backup.first && !Agree(*primary.first, *backup.first)) {
    table.problems.emplace_back("the two copies of the GPT differ");
  }
  if (primary.first && backup_lba != sectors - 1) {
    table.problems.emplace_back("the backup GPT is not at the disk's end");
  }
  const GptCopy& used = primary.first ? *primary.first : *backup.first;
  table.kind = PartitionTable::Kind::kGpt;
  table.guid = GuidText(ByteView(used.header).subspan(56, 16));
  AddPartitions(used, table);
  return table;
}

}  // namespace

absl::StatusOr<PartitionTable> ReadGpt(BlockSource& disk,
                                       const std::vector<MbrEntry>& mbr) {
  ASSIGN_OR_RETURN(PartitionTable table, ReadWithSector(disk, 512));
  if (table.kind == PartitionTable::Kind::kDamaged && disk.size() >= 4096 * 2) {
    ASSIGN_OR_RETURN(PartitionTable large, ReadWithSector(disk, 4096));
    if (large.kind == PartitionTable::Kind::kGpt) {
      table = std::move(large);
    }
  }
  CompareWithMbr(mbr, table);
  return table;
}

}  // namespace vmattest::disk
