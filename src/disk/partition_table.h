#ifndef VMATTEST_DISK_PARTITION_TABLE_H_
#define VMATTEST_DISK_PARTITION_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "disk/block_source.h"

// Partition tables: GPT (UEFI 2.10, section 5.3) and MBR with logical
// partitions. Read as Linux reads them; what is wrong with a table is a value,
// and everything in it is bounded. One thread.

namespace vmattest::disk {

struct Partition {
  uint32_t number = 0;  // as Linux counts: 1 to 4, logical ones from 5
  uint64_t begin = 0;   // bytes
  uint64_t size = 0;    // bytes
  // GPT: the type's GUID, lower case. MBR: "0x83".
  std::string type;
  std::string guid;       // GPT: the partition's own
  std::string name;       // GPT: its label, UTF-8
  bool extended = false;  // a container of logical partitions
  bool inside = true;     // wholly on the disk
  std::vector<std::string> problems;
};

struct PartitionTable {
  enum class Kind : uint8_t {
    kNone,  // no table: whatever is there takes the whole disk
    kDos,   // MBR
    kGpt,
    kDamaged,  // there is a GPT, and no copy of it can be trusted
  };
  Kind kind = Kind::kNone;
  uint32_t sector_size = 512;
  std::string guid;  // GPT: the disk's; MBR: its identifier, "0x1234abcd"
  std::vector<std::string> problems;
  std::vector<Partition> partitions;  // by number
};

inline constexpr std::string_view kEfiSystemType =
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
inline constexpr std::string_view kBiosBootType =
    "21686148-6449-6e6f-744e-656564454649";

// Errors are those of BlockSource only.
absl::StatusOr<PartitionTable> ReadPartitionTable(BlockSource& disk);

// The parts of the above. A GPT is looked for where a protective entry says so.
struct MbrEntry {
  uint32_t number = 0;
  uint8_t flags = 0;
  uint8_t type = 0;
  uint64_t first = 0;  // sectors
  uint64_t count = 0;
};
absl::StatusOr<PartitionTable> ReadGpt(BlockSource& disk,
                                       const std::vector<MbrEntry>& mbr);
absl::StatusOr<PartitionTable> ReadMbr(BlockSource& disk,
                                       const std::vector<MbrEntry>& primary);
// The four entries of the sector, empty ones left out.
std::vector<MbrEntry> ParseMbrEntries(ByteView sector);

// The IEEE CRC-32 of GPT headers.
uint32_t Crc32(ByteView data);

// Little-endian integers at `at`, which must be inside.
uint64_t LittleEndian(ByteView data, size_t at, size_t size);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_PARTITION_TABLE_H_
