#include "disk/partition_table.h"

#include <fmt/format.h>

#include "fakes/memory_block_source.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/disk/disk_images.h"

namespace vmattest::disk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using vmattest::testing::DiskImages;
using vmattest::testing::MemoryBlockSource;
using vmattest::testing::OpenRaw;
using Kind = PartitionTable::Kind;

constexpr uint64_t kMiB = uint64_t{1} << 20;

PartitionTable Read(BlockSource& source) {
  auto table = ReadPartitionTable(source);
  EXPECT_THAT(table, vmattest::testing::IsOk());
  return table.ok() ? *std::move(table) : PartitionTable();
}

// "NUMBER TYPE BEGIN+SIZE NAME" in MiB, then what is wrong with it.
std::vector<std::string> Summary(const PartitionTable& table) {
  std::vector<std::string> lines;
  for (const Partition& partition : table.partitions) {
    std::string line = fmt::format(
        "{} {} {}+{} {}", partition.number, partition.type.substr(0, 8),
        partition.begin / kMiB, partition.size / kMiB, partition.name);
    for (const std::string& problem : partition.problems) {
      line += "!" + problem;
    }
    lines.push_back(line);
  }
  return lines;
}

class GptTest : public ::testing::Test {
 protected:
  // sgdisk waits for all of the machine's disks: one for all tests.
  static const std::string& Template() {
    static const std::string content = [] {
      DiskImages images;
      const std::string image = images.MakeEmpty("disk", 16 * kMiB);
      DiskImages::Run({"sgdisk", "-n", "1:2048:+2M", "-t", "1:ef00", "-c",
                       "1:EFI", "-n", "3:8192:+4M", "-t", "3:8300", "-c",
                       "3:r\xC3\xB6"
                       "ot",
                       image});
      return vmattest::testing::Slurp(image);
    }();
    return content;
  }

  GptTest() : image_(images_.MakeEmpty("disk", 16 * kMiB)) {
    DiskImages::WriteAt(image_, 0, Template());
  }
  PartitionTable ReadImage() { return Read(*OpenRaw(image_)); }
  // Sets bytes of both copies of a header or of the entries and mends all
  // checksums, as an attacker would.
  void Patch(uint64_t entry, uint64_t at, uint64_t value, size_t size) {
    std::string disk = vmattest::testing::Slurp(image_);
    const uint64_t last = disk.size() / 512 - 1;
    for (const uint64_t header : {uint64_t{1}, last}) {
      const uint64_t entries =
          LittleEndian(AsBytes(disk), header * 512 + 72, 8);
      const uint64_t base =
          entry == 0 ? header * 512 : entries * 512 + (entry - 1) * 128;
      for (size_t i = 0; i < size; ++i) {
        disk[base + at + i] = static_cast<char>(value >> (8 * i));
      }
      Put32(disk, header * 512 + 88,
            Crc32(AsBytes(disk).subspan(entries * 512, 128 * 128)));
      Put32(disk, header * 512 + 16, 0);
      Put32(disk, header * 512 + 16,
            Crc32(AsBytes(disk).subspan(header * 512, 92)));
    }
    DiskImages::WriteAt(image_, 0, disk);
  }
  static void Put32(std::string& disk, uint64_t at, uint32_t value) {
    for (size_t i = 0; i < 4; ++i) {
      disk[at + i] = static_cast<char>(value >> (8 * i));
    }
  }

  DiskImages images_;
  std::string image_;
};

TEST_F(GptTest, IsReadAsSgdiskWroteIt) {
  const PartitionTable table = ReadImage();
  EXPECT_EQ(table.kind, Kind::kGpt);
  EXPECT_THAT(table.problems, IsEmpty());
  EXPECT_THAT(Summary(table), ElementsAre("1 c12a7328 1+2 EFI",
                                          "3 0fc63daf 4+4 r\xC3\xB6"
                                          "ot"));
  const std::string said = DiskImages::Run({"sgdisk", "-i", "3", image_});
  std::string guid = table.partitions[1].guid;
  for (char& c : guid) {
    c = static_cast<char>(std::toupper(c));
  }
  EXPECT_THAT(said, HasSubstr("Partition unique GUID: " + guid));
}

TEST_F(GptTest, UsesTheBackupWhenThePrimaryIsDamaged) {
  DiskImages::WriteAt(image_, 512 + 40, "X");
  const PartitionTable table = ReadImage();
  EXPECT_EQ(table.kind, Kind::kGpt);
  EXPECT_THAT(table.problems,
              ElementsAre("primary GPT: wrong header checksum"));
  EXPECT_EQ(table.partitions.size(), 2u);
}

TEST_F(GptTest, NamesDamagedEntries) {
  DiskImages::WriteAt(image_, 2 * 512 + 3, "X");
  EXPECT_THAT(ReadImage().problems,
              ElementsAre("primary GPT: wrong checksum of the entries"));
}

TEST_F(GptTest, NamesADamagedBackup) {
  DiskImages::WriteAt(image_, 16 * kMiB - 512, "X");
  EXPECT_THAT(ReadImage().problems, ElementsAre("backup GPT: no signature"));
}

TEST_F(GptTest, HasNoPartitionsWhenBothCopiesAreDamaged) {
  DiskImages::WriteAt(image_, 512 + 40, "X");
  DiskImages::WriteAt(image_, 16 * kMiB - 512, "X");
  const PartitionTable table = ReadImage();
  EXPECT_EQ(table.kind, Kind::kDamaged);
  EXPECT_THAT(table.partitions, IsEmpty());
}

TEST_F(GptTest, NamesADiskThatGrew) {
  std::filesystem::resize_file(image_, 20 * kMiB);
  EXPECT_THAT(ReadImage().problems,
              ElementsAre("the backup GPT is not at the disk's end"));
}

TEST_F(GptTest, NamesCopiesThatDiffer) {
  const std::string old = vmattest::testing::Slurp(image_);
  DiskImages::Run({"sgdisk", "-n", "4:0:0", image_});
  const size_t backup = 16 * kMiB - 33 * 512;
  DiskImages::WriteAt(image_, backup, std::string_view(old).substr(backup));
  EXPECT_THAT(ReadImage().problems,
              ElementsAre("the two copies of the GPT differ"));
}

TEST_F(GptTest, NamesAHybridMbr) {
  DiskImages::Run({"sgdisk", "-h", "3", image_});
  const PartitionTable table = ReadImage();
  EXPECT_EQ(table.kind, Kind::kGpt);
  EXPECT_THAT(table.problems, ElementsAre(HasSubstr("hybrid MBR: entry ")));
  EXPECT_THAT(table.problems[0], HasSubstr("is a partition of the GPT too"));
}

TEST_F(GptTest, NamesOverlapsAndEnds) {
  Patch(3, 32, 2049, 8);  // first sector
  EXPECT_THAT(
      Summary(ReadImage()),
      ElementsAre("1 c12a7328 1+2 EFI", HasSubstr("!overlaps partition 1")));
  Patch(3, 40, 1 << 30, 8);  // last sector
  EXPECT_THAT(Summary(ReadImage())[1],
              HasSubstr("!reaches past the end of the disk"));
  Patch(3, 40, UINT64_MAX, 8);
  EXPECT_THAT(Summary(ReadImage())[1], HasSubstr("!ends before it begins"));
  Patch(3, 32, 5, 8);
  Patch(3, 40, 6, 8);
  EXPECT_THAT(Summary(ReadImage())[1],
              HasSubstr("!outside the table's usable range"));
}

TEST_F(GptTest, RefusesHeadersThatAskForMuch) {
  Patch(0, 80, 0xFFFFFFFF, 4);  // number of entries
  PartitionTable table = ReadImage();
  EXPECT_EQ(table.kind, Kind::kDamaged);
  EXPECT_THAT(table.problems[0], HasSubstr("4294967295 entries"));
}

TEST(Gpt, IsReadFromADiskOfLargeSectors) {
  // As sgdisk would on such a disk: header at byte 4096, entries at 8192.
  MemoryBlockSource disk{Bytes(4 * kMiB)};
  Bytes entries(128 * 128);
  entries[0] = 1;     // some type
  entries[32] = 64;   // first sector
  entries[40] = 127;  // last
  Bytes header(92);
  const std::string_view signature("EFI PART\0\0\1\0\x5c\0\0\0", 16);
  std::copy(signature.begin(), signature.end(), header.begin());
  header[24] = 1;
  header[32] = 0xFF;  // backup: not there
  header[33] = 0x03;
  header[48] = 0xFF;  // last usable
  header[72] = 2;
  header[80] = 128;
  header[84] = 128;
  const auto put32 = [&header](size_t at, uint32_t value) {
    for (size_t i = 0; i < 4; ++i) {
      header[at + i] = static_cast<uint8_t>(value >> (8 * i));
    }
  };
  put32(88, Crc32(entries));
  put32(16, Crc32(header));
  disk.Write(4096, header);
  disk.Write(8192, entries);
  disk.Write(446, std::string_view("\0\0\2\0\xEE\0\0\0\1\0\0\0\xff\3\0\0", 16));
  disk.Write(510, "\x55\xAA");
  const PartitionTable table = Read(disk);
  EXPECT_EQ(table.kind, Kind::kGpt);
  EXPECT_EQ(table.sector_size, 4096u);
  ASSERT_EQ(table.partitions.size(), 1u);
  EXPECT_EQ(table.partitions[0].begin, 64u * 4096);
  EXPECT_EQ(table.partitions[0].size, 64u * 4096);
}

TEST(Crc32, IsTheOneOfIeee) {
  EXPECT_EQ(Crc32(AsBytes("123456789")), 0xCBF43926u);
}

// A sector of a table: up to four (flags, type, first, count).
struct Entry {
  uint8_t flags = 0;
  uint8_t type = 0;
  uint32_t first = 0;
  uint32_t count = 0;
};
Bytes Sector(const std::vector<Entry>& entries) {
  Bytes sector(512);
  for (size_t i = 0; i < entries.size(); ++i) {
    const size_t at = 446 + 16 * i;
    sector[at] = entries[i].flags;
    sector[at + 4] = entries[i].type;
    for (size_t k = 0; k < 4; ++k) {
      sector[at + 8 + k] = static_cast<uint8_t>(entries[i].first >> (8 * k));
      sector[at + 12 + k] = static_cast<uint8_t>(entries[i].count >> (8 * k));
    }
  }
  sector[510] = 0x55;
  sector[511] = 0xAA;
  return sector;
}

TEST(Mbr, IsReadAsSfdiskWroteIt) {
  DiskImages images;
  const std::string image = images.MakeEmpty("disk", 64 * kMiB);
  const std::string script = images.Path("script");
  std::filesystem::remove(script);
  images.MakeEmpty("script", 0);
  DiskImages::WriteAt(script, 0,
                      "label: dos\nlabel-id: 0x1234abcd\n"
                      "2048,4M,83,*\n,40M,5\n,8M,82\n,8M,83\n,8M,8e\n");
  DiskImages::Run({"sh", "-c", "sfdisk -q " + image + " < " + script});
  const PartitionTable table = Read(*OpenRaw(image));
  EXPECT_EQ(table.kind, Kind::kDos);
  EXPECT_EQ(table.guid, "0x1234abcd");
  EXPECT_THAT(table.problems, IsEmpty());
  // What sfdisk reads back.
  std::vector<std::string> expected;
  std::istringstream dump(DiskImages::Run({"sfdisk", "-d", image}));
  for (std::string line; std::getline(dump, line);) {
    unsigned number = 0;
    unsigned long first = 0;
    unsigned long count = 0;
    unsigned type = 0;
    const size_t colon = line.find(" :");
    if (colon != std::string::npos && line.starts_with(image) &&
        std::sscanf(line.c_str() + image.size(),
                    "%u : start= %lu, size= %lu, type=%x", &number, &first,
                    &count, &type) == 4) {
      expected.push_back(fmt::format("{} 0x{:02x} {}+{} ", number, type,
                                     first * 512 / kMiB, count * 512 / kMiB));
    }
  }
  EXPECT_EQ(expected.size(), 5u);
  EXPECT_EQ(Summary(table), expected);
}

TEST(Mbr, IsNoTableWithoutEntriesOrSignature) {
  MemoryBlockSource empty{Bytes(kMiB)};
  EXPECT_EQ(Read(empty).kind, Kind::kNone);
  empty.Write(0, Sector({}));
  EXPECT_EQ(Read(empty).kind, Kind::kNone);
  MemoryBlockSource small{Bytes(100)};
  EXPECT_EQ(Read(small).kind, Kind::kNone);
}

TEST(Mbr, IsNotSeenInTheBootSectorOfAFileSystem) {
  DiskImages images;
  const std::string image = images.MakeVfat("fat", {}, 4 * kMiB, {});
  EXPECT_EQ(Read(*OpenRaw(image)).kind, Kind::kNone);
}

TEST(Mbr, EndsAtALoopOfLogicalPartitions) {
  MemoryBlockSource disk{Bytes(4 * kMiB)};
  disk.Write(0, Sector({{0, 0x05, 100, 4000}}));
  disk.Write(100 * 512, Sector({{0, 0x83, 1, 10}, {0, 0x05, 50, 100}}));
  disk.Write(150 * 512, Sector({{0, 0x83, 1, 10}, {0, 0x05, 50, 100}}));
  const PartitionTable table = Read(disk);
  EXPECT_THAT(table.problems,
              ElementsAre("the chain of logical partitions is a loop"));
  EXPECT_EQ(table.partitions.size(), 3u);
}

TEST(Mbr, EndsAtTooManyLogicalPartitions) {
  MemoryBlockSource disk{Bytes(4 * kMiB)};
  disk.Write(0, Sector({{0, 0x05, 100, 4000}}));
  for (uint32_t i = 0; i < 1000; ++i) {
    disk.Write((100 + i) * 512, Sector({{0, 0x83, 1, 1}, {0, 0x05, i + 1, 9}}));
  }
  const PartitionTable table = Read(disk);
  EXPECT_THAT(table.problems, ElementsAre("more than 128 logical partitions"));
  EXPECT_EQ(table.partitions.size(), 129u);
}

TEST(Mbr, NamesAChainThatLeavesItsContainer) {
  MemoryBlockSource disk{Bytes(4 * kMiB)};
  disk.Write(0, Sector({{0, 0x0F, 100, 50}}));
  disk.Write(100 * 512, Sector({{0, 0x83, 1, 90}, {0, 0x05, 60, 10}}));
  const PartitionTable table = Read(disk);
  EXPECT_THAT(
      table.problems,
      ElementsAre("the chain of logical partitions leaves its container"));
  EXPECT_THAT(table.partitions.back().problems,
              ElementsAre("reaches past the extended partition"));
}

TEST(Mbr, NamesPartitionsPastTheEnd) {
  MemoryBlockSource disk{Bytes(kMiB)};
  disk.Write(0, Sector({{0x80, 0x83, 1, 0xFFFFFFFF},
                        {0, 0x83, 0xFFFFFFFF, 0xFFFFFFFF}}));
  const PartitionTable table = Read(disk);
  ASSERT_EQ(table.partitions.size(), 2u);
  EXPECT_FALSE(table.partitions[0].inside);
  EXPECT_FALSE(table.partitions[1].inside);
}

TEST(PartitionTable, PassesOnTheDisksError) {
  MemoryBlockSource disk{Bytes(kMiB)};
  disk.failure = absl::UnavailableError("gone");
  EXPECT_THAT(ReadPartitionTable(disk),
              vmattest::testing::StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vmattest::disk
