#include "disk/inspect.h"

#include <fmt/format.h>

#include "crypto/digest.h"
#include "disk/leaf_list.h"
#include "fakes/memory_block_source.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/disk/debian_disk.h"
#include "unit/disk/disk_images.h"
#include "unit/disk/pe_builder.h"

namespace vmattest::disk {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using vmattest::testing::ByPath;
using vmattest::testing::DebianDisk;
using vmattest::testing::DiskImages;
using vmattest::testing::IsOk;
using vmattest::testing::kMiB;
using vmattest::testing::MakePe;
using vmattest::testing::MemoryBlockSource;
using vmattest::testing::OpenRaw;
using vmattest::testing::QemuNbd;
using vmattest::testing::RootFiles;
using vmattest::testing::Slurp;
using vmattest::testing::StatusIs;

using Leaves = std::map<std::string, std::string>;

Leaves LeavesOf(BlockSource& disk, const InspectOptions& options = {}) {
  auto report = Inspect(disk, options, nullptr);
  EXPECT_THAT(report, IsOk());
  return report.ok() ? ByPath(report->leaves) : Leaves();
}

std::string Sha256(std::string_view content) {
  return "digest " + DigestText(HashAlgorithm::kSha256,
                                Hash(HashAlgorithm::kSha256, AsBytes(content)));
}

TEST(Inspect, ListsWhatADiskHolds) {
  const DebianDisk disk("5.2-1");
  Leaves leaves = LeavesOf(*OpenRaw(disk.path()));
  for (const char* random : {"table/guid", "partition[1]/guid",
                             "partition[2]/guid", "partition[3]/guid"}) {
    EXPECT_EQ(leaves.erase(random), 1u) << random;
  }
  EXPECT_THAT(leaves["partition[2]/boot[EFI/BOOT/BOOTX64.EFI]/authenticode"],
              HasSubstr("digest sha256:"));
  leaves.erase("partition[2]/boot[EFI/BOOT/BOOTX64.EFI]/authenticode");
  leaves.erase("partition[3]/boot[boot/vmlinuz-6.1]/authenticode");
  EXPECT_THAT(
      leaves,
      UnorderedElementsAre(
          Pair("table", "text gpt"),
          Pair("boot-code", Sha256(std::string(440, '\0'))),
          Pair("partition[1]/start", "size 1048576"),
          Pair("partition[1]/size", "size 1048576"),
          Pair("partition[1]/type",
               "text 21686148-6449-6e6f-744e-656564454649"),
          Pair("partition[1]/boot", Sha256(std::string(kMiB, '\0'))),
          Pair("partition[2]/start", "size 2097152"),
          Pair("partition[2]/size", "size 4194304"),
          Pair("partition[2]/type",
               "text c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
          Pair("partition[2]/filesystem", "text vfat"),
          Pair("partition[2]/boot[EFI/BOOT/BOOTX64.EFI]",
               Sha256(DebianDisk::Loader())),
          Pair("partition[2]/boot[EFI/debian/grub.cfg]", Sha256("search\n")),
          Pair("partition[3]/start", "size 8388608"),
          Pair("partition[3]/size", "size 25165824"),
          Pair("partition[3]/type",
               "text 4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
          Pair("partition[3]/name", "text root"),
          Pair("partition[3]/filesystem", "text ext4"),
          Pair("partition[3]/filesystem/uuid",
               "text 11111111-2222-3333-4444-555555555555"),
          Pair("partition[3]/journal", "text clean"),
          Pair("partition[3]/os", "text debian 12"),
          Pair("partition[3]/packages/dpkg", "text 2"),
          Pair(
              "partition[3]/package[bash:amd64]",
              "text 5.2-1 md5sums=" + Sha256("0123  usr/bin/bash\n").substr(7)),
          Pair("partition[3]/package[dash:amd64]",
               "text 0.5 md5sums=none state=unpacked"),
          Pair("partition[3]/boot[boot/vmlinuz-6.1]",
               Sha256(MakePe({.sections = {"kernel"}}))),
          Pair("partition[3]/boot[boot/grub/grub.cfg]",
               Sha256("linux /vmlinuz-6.1\n"))));
}

// What differs between two sets of leaves.
std::vector<std::string> Differences(const Leaves& a, const Leaves& b) {
  std::vector<std::string> paths;
  for (const auto& [path, value] : a) {
    const auto other = b.find(path);
    if (other == b.end() || other->second != value) {
      paths.push_back(path);
    }
  }
  for (const auto& [path, value] : b) {
    if (a.find(path) == a.end()) {
      paths.push_back(path);
    }
  }
  return paths;
}

TEST(Inspect, ShowsAPackageChangeAsThatLeafAlone) {
  DebianDisk disk("5.2-1");
  const Leaves before = LeavesOf(*OpenRaw(disk.path()));
  disk.SetRoot(RootFiles("5.2-2"));
  const Leaves after = LeavesOf(*OpenRaw(disk.path()));
  EXPECT_THAT(Differences(before, after),
              ::testing::ElementsAre("partition[3]/package[bash:amd64]"));
  EXPECT_THAT(after.at("partition[3]/package[bash:amd64]"),
              HasSubstr("text 5.2-2 "));
}

TEST(Inspect, ShowsAChangedManifestAsThatLeafAlone) {
  DebianDisk disk("5.2-1");
  const Leaves before = LeavesOf(*OpenRaw(disk.path()));
  DiskImages::Files files = RootFiles("5.2-1");
  files["var/lib/dpkg/info/bash.md5sums"] = "0124  usr/bin/bash\n";
  disk.SetRoot(files);
  EXPECT_THAT(Differences(before, LeavesOf(*OpenRaw(disk.path()))),
              ::testing::ElementsAre("partition[3]/package[bash:amd64]"));
}

TEST(Inspect, SeesTheSameThroughQcow2AndNbd) {
  DebianDisk disk("5.2-1");
  const std::string qcow2 = disk.images().Path("qcow2");
  DiskImages::Run(
      {"qemu-img", "convert", "-c", "-O", "qcow2", disk.path(), qcow2});
  const QemuNbd server(qcow2, "qcow2");
  const auto nbd = server.Open();
  const auto raw = OpenRaw(disk.path());
  const InspectOptions options{.guest_digest = true};
  ASSERT_OK_AND_ASSIGN(const auto by_nbd, Inspect(*nbd, options, nullptr));
  ASSERT_OK_AND_ASSIGN(const auto by_raw, Inspect(*raw, options, nullptr));
  EXPECT_EQ(by_nbd.leaves, by_raw.leaves);
  EXPECT_EQ(by_nbd.guest_digest, by_raw.guest_digest);
  EXPECT_EQ(by_nbd.size, by_raw.size);
  EXPECT_TRUE(by_raw.guest_digest.has_value());
}

TEST(Inspect, NamesAJournalThatNeedsRecovery) {
  DebianDisk disk("5.2-1");
  const std::string root = disk.images().Path("root");
  DiskImages::Run({"debugfs", "-w", "-R", "feature needs_recovery", root});
  DiskImages::Insert(disk.path(), DebianDisk::kRootAt, root);
  const Leaves leaves = LeavesOf(*OpenRaw(disk.path()));
  EXPECT_EQ(leaves.at("partition[3]/journal"), "text needs-recovery");
  EXPECT_EQ(leaves.count("partition[3]/package[bash:amd64]"), 1u);
}

TEST(Inspect, NamesADamagedFileSystemAndGoesOn) {
  const DebianDisk disk("5.2-1");
  DiskImages::WriteAt(disk.path(), DebianDisk::kRootAt + 1024 + 0x78, "xxxx");
  const Leaves leaves = LeavesOf(*OpenRaw(disk.path()));
  EXPECT_THAT(leaves.at("partition[3]"),
              HasSubstr("unavailable opening the file system: "));
  EXPECT_EQ(leaves.count("partition[2]/boot[EFI/debian/grub.cfg]"), 1u);
}

TEST(Inspect, NamesADamagedPackageDatabase) {
  DebianDisk disk("5.2-1");
  DiskImages::Files files = RootFiles("5.2-1");
  files["var/lib/dpkg/status"] = "Version: 1\n";
  disk.SetRoot(files);
  const Leaves leaves = LeavesOf(*OpenRaw(disk.path()));
  EXPECT_EQ(leaves.at("partition[3]/packages/dpkg"),
            "unavailable a package without a name");
}

// A file system over the whole disk.
std::string LeafOfWholeDisk(const std::string& path, const std::string& leaf) {
  const Leaves leaves = LeavesOf(*OpenRaw(path));
  EXPECT_EQ(leaves.at("table"), "text none");
  const auto found = leaves.find(leaf);
  return found == leaves.end() ? "" : found->second;
}

TEST(Inspect, NamesWhatItDoesNotRead) {
  DiskImages images;
  const auto made = [&](const std::string& size,
                        const std::vector<std::string>& words) {
    const std::string path = images.Path("image");
    std::filesystem::remove(path);
    DiskImages::Run({"truncate", "-s", size, path});
    std::vector<std::string> all = words;
    all.push_back(path);
    DiskImages::Run(all);
    return LeafOfWholeDisk(path, "partition[0]");
  };
  EXPECT_EQ(made("300M", {"mkfs.xfs", "-q"}), "unavailable XFS: not read");
  EXPECT_EQ(made("120M", {"mkfs.btrfs", "-q"}), "unavailable btrfs: not read");
  EXPECT_EQ(made("1M", {"mkswap", "-q"}), "");
  const std::string path = images.MakeEmpty("signature", kMiB);
  DiskImages::WriteAt(path, 0, "LUKS\xba\xbe");
  EXPECT_EQ(LeafOfWholeDisk(path, "partition[0]"),
            "unavailable encrypted (LUKS)");
  DiskImages::WriteAt(path, 0, "unknown");
  EXPECT_EQ(LeafOfWholeDisk(path, "partition[0]"),
            "unavailable unknown content");
  EXPECT_EQ(LeafOfWholeDisk(path, "partition[0]/filesystem"), "text unknown");
  DiskImages::WriteAt(path, 0, std::string(7, '\0'));
  DiskImages::WriteAt(path, 512, "LABELONE");
  EXPECT_EQ(LeafOfWholeDisk(path, "partition[0]"),
            "unavailable LVM physical volume: not read");
}

TEST(Inspect, ReadsASeparateBootPartition) {
  DiskImages images;
  const std::string image = images.MakeExt(
      "image",
      images.MakeFolder("files",
                        {{"vmlinuz-1", "kernel"}, {"grub/grub.cfg", "menu"}}),
      8 * kMiB, {"-t", "ext2"});
  const Leaves leaves = LeavesOf(*OpenRaw(image));
  EXPECT_EQ(leaves.at("partition[0]/boot[vmlinuz-1]"), Sha256("kernel"));
  EXPECT_EQ(leaves.at("partition[0]/boot[grub/grub.cfg]"), Sha256("menu"));
}

TEST(Inspect, OfAnEmptyDiskIsEmpty) {
  MemoryBlockSource nothing{Bytes()};
  EXPECT_EQ(LeavesOf(nothing).at("table"), "text none");
  MemoryBlockSource zeros{Bytes(4 * kMiB)};
  EXPECT_EQ(LeavesOf(zeros).at("partition[0]/filesystem"), "text empty");
}

TEST(Inspect, EndsWithTheDisksError) {
  const DebianDisk disk("5.2-1");
  MemoryBlockSource source{Slurp(disk.path())};
  source.failure = absl::AbortedError("changed");
  EXPECT_THAT(Inspect(source, {}, nullptr),
              StatusIs(absl::StatusCode::kAborted));
}

TEST(Inspect, EndsAtItsTime) {
  MemoryBlockSource source{Bytes(kMiB)};
  InspectOptions options;
  options.limits.time = std::chrono::milliseconds(0);
  EXPECT_THAT(Inspect(source, options, nullptr),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(Inspect, SaysWhatItsLimitsCutOff) {
  const DebianDisk disk("5.2-1");
  InspectOptions options;
  options.limits.leaves = 501;
  EXPECT_EQ(
      LeavesOf(*OpenRaw(disk.path()), options).at("partition[3]/packages/dpkg"),
      "unavailable more than 0 packages");
  options.limits.leaves = 10;
  EXPECT_EQ(LeavesOf(*OpenRaw(disk.path()), options).at("limit"),
            "unavailable more than 10 leaves");
  options.limits = {.read_bytes = 300'000};
  const Leaves leaves = LeavesOf(*OpenRaw(disk.path()), options);
  EXPECT_THAT(leaves.at("partition[1]/boot"),
              HasSubstr("unavailable there is too much to read"));
}

TEST(Inspect, IsTheSameEveryTime) {
  const DebianDisk disk("5.2-1");
  ASSERT_OK_AND_ASSIGN(const auto first,
                       Inspect(*OpenRaw(disk.path()), {}, nullptr));
  ASSERT_OK_AND_ASSIGN(const auto second,
                       Inspect(*OpenRaw(disk.path()), {}, nullptr));
  EXPECT_EQ(first.leaves, second.leaves);
  EXPECT_TRUE(std::is_sorted(first.leaves.begin(), first.leaves.end()));
}

}  // namespace
}  // namespace vmattest::disk
