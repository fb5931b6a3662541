#include "disk/inspect_contents.h"

#include "fakes/fake_appliance.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "unit/disk/disk_images.h"

namespace vmattest::disk {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using vmattest::testing::ByPath;
using vmattest::testing::FakeAppliance;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

using Leaves = std::map<std::string, std::string>;
using Wanted = std::vector<Leaves::value_type>;

constexpr uint64_t kSize = uint64_t{1} << 30;
constexpr char kXfsOptions[] = " ro,norecovery,nouuid";

std::string Xfs() {
  std::string super(512, '\0');
  super.replace(0, 4, "XFSB");
  super.replace(32, 16, "0123456789abcdef");
  return super;
}

std::string Btrfs(char log_root) {
  std::string super(0x11000, '\0');
  super.replace(0x10040, 8, "_BHRfS_M");
  super.replace(0x10020, 16, "0123456789abcdef");
  super[0x10000 + 96] = log_root;
  return super;
}

std::string PhysicalVolume() {
  std::string label(1024, '\0');
  label.replace(512, 8, "LABELONE");
  return label;
}

FakeAppliance::Files Root(const std::string& version) {
  return {{"/etc/os-release", "-> /usr/lib/os-release"},
          {"/usr/lib/os-release", "ID=debian\nVERSION_ID=12\n"},
          {"/boot/vmlinuz", "kernel"},
          {"/var/lib/dpkg/status",
           "Package: bash\nStatus: install ok installed\nVersion: " + version +
               "\nArchitecture: amd64\n"}};
}

absl::StatusOr<std::vector<ConfigLeaf>> Inspect(
    FakeAppliance& appliance, const std::vector<std::string>& devices,
    const InspectLimits& limits = {}) {
  std::vector<ApplianceContent> contents;
  for (const std::string& device : devices) {
    contents.push_back(
        {"partition[" + std::to_string(contents.size() + 1) + "]", device,
         kSize});
  }
  return InspectContents(appliance, contents, HashAlgorithm::kSha256, limits);
}

Leaves LeavesOf(FakeAppliance& appliance,
                const std::vector<std::string>& devices) {
  const auto leaves = Inspect(appliance, devices);
  EXPECT_THAT(leaves, IsOk());
  return leaves.ok() ? ByPath(*leaves) : Leaves();
}

TEST(InspectContents, ReadsTheSystemOnAnXfs) {
  FakeAppliance appliance;
  appliance.devices["/dev/sda"] = Xfs();
  appliance.filesystems[std::string("/dev/sda") + kXfsOptions] = Root("5.2");
  appliance.xfs_logs["/dev/sda"] = "log tail: 2 head: 2 state: <CLEAN>";
  const Leaves leaves = LeavesOf(appliance, {"/dev/sda"});
  EXPECT_THAT(leaves,
              IsSupersetOf(Wanted{{"partition[1]/filesystem", "text xfs"},
                                  {"partition[1]/filesystem/uuid",
                                   "text 30313233-3435-3637-3839-616263646566"},
                                  {"partition[1]/journal", "text clean"},
                                  {"partition[1]/os", "text debian 12"},
                                  {"partition[1]/packages/dpkg", "text 1"},
                                  {"partition[1]/package[bash:amd64]",
                                   "text 5.2 md5sums=none"}}));
  EXPECT_THAT(leaves, Contains(Key("partition[1]/boot[boot/vmlinuz]")));
  EXPECT_THAT(leaves, Not(Contains(Key("partition[1]"))));
}

TEST(InspectContents, NamesAnXfsLogThatNeedsRecovery) {
  EXPECT_EQ(JournalOfXfsLog("state: <DIRTY>\n"), "needs-recovery");
  EXPECT_EQ(JournalOfXfsLog("state: <CLEAN>\n"), "clean");
  EXPECT_EQ(JournalOfXfsLog("xfs_logprint: cannot find it"), "unknown");
  EXPECT_EQ(JournalOfXfsLog("<CLEAN><DIRTY>"), "unknown");
}

TEST(InspectContents, SaysWhyAFileSystemCannotBeMounted) {
  FakeAppliance appliance;
  appliance.devices["/dev/sda"] = Xfs();
  const Leaves leaves = LeavesOf(appliance, {"/dev/sda"});
  EXPECT_EQ(leaves.at("partition[1]"), "unavailable libguestfs: wrong fs type");
  EXPECT_EQ(leaves.at("partition[1]/journal"), "text unknown");
}

TEST(InspectContents, ReadsEachSubvolumeWithoutReplayingTheLog) {
  FakeAppliance appliance;
  appliance.devices["/dev/sda"] = Btrfs('\1');
  const std::string options = "/dev/sda ro,rescue=nologreplay,subvolid=";
  appliance.filesystems[options + "5"] = {};
  appliance.filesystems[options + "256"] = Root("5.2");
  appliance.subvolumes = {{257, "home"}, {256, "@rootfs"}};
  const Leaves leaves = LeavesOf(appliance, {"/dev/sda"});
  EXPECT_EQ(leaves.at("partition[1]/journal"), "text needs-recovery");
  EXPECT_EQ(leaves.at("partition[1]/filesystem/default-subvolume"), "text 5");
  EXPECT_EQ(leaves.at("partition[1]/subvolume[@rootfs]/id"), "text 256");
  EXPECT_EQ(leaves.at("partition[1]/subvolume[@rootfs]/os"), "text debian 12");
  EXPECT_EQ(leaves.at("partition[1]/subvolume[home]"),
            "unavailable libguestfs: wrong fs type");
  EXPECT_THAT(appliance.mounts,
              ElementsAre(options + "5", options + "256", options + "257"));
}

TEST(InspectContents, SaysThatThereAreTooManySubvolumes) {
  FakeAppliance appliance;
  appliance.devices["/dev/sda"] = Btrfs('\0');
  appliance.filesystems["/dev/sda ro,rescue=nologreplay,subvolid=5"] = {};
  for (uint64_t id = 256; id < 356; ++id) {
    appliance.subvolumes.push_back({id, std::to_string(id)});
  }
  EXPECT_EQ(LeavesOf(appliance, {"/dev/sda"}).at("partition[1]/subvolume"),
            "unavailable more than 64: 100");
  EXPECT_EQ(appliance.mounts.size(), 65U);
}

class LvmTest : public ::testing::Test {
 protected:
  LvmTest() {
    appliance_.devices = {{"/dev/sda", PhysicalVolume()},
                          {"/dev/sdb", PhysicalVolume()},
                          {"/dev/vg/root", Xfs()}};
    appliance_.filesystems[std::string("/dev/vg/root") + kXfsOptions] =
        Root("5.2");
    appliance_.lvm.physical = {{"/dev/sda", "pv-a"}, {"/dev/sdb", "pv-b"}};
    appliance_.lvm.groups = {{"vg", "vg-id", {"pv-a", "pv-b"}}};
    appliance_.lvm.logical = {{"vg", "root", "lv-id", "/dev/vg/root", kSize}};
  }
  FakeAppliance appliance_;
};

TEST_F(LvmTest, LogicalVolumesAreBelowTheirGroupsFirstPhysicalVolume) {
  const Leaves leaves = LeavesOf(appliance_, {"/dev/sda", "/dev/sdb"});
  EXPECT_THAT(leaves, IsSupersetOf(Wanted{
                          {"partition[1]/filesystem", "text lvm2"},
                          {"partition[1]/pv/uuid", "text pv-a"},
                          {"partition[1]/pv/group", "text vg"},
                          {"partition[1]/pv/group/uuid", "text vg-id"},
                          {"partition[1]/lv[vg/root]/uuid", "text lv-id"},
                          {"partition[1]/lv[vg/root]/size", "size 1073741824"},
                          {"partition[1]/lv[vg/root]/filesystem", "text xfs"},
                          {"partition[1]/lv[vg/root]/os", "text debian 12"},
                          {"partition[2]/pv/uuid", "text pv-b"},
                          {"partition[2]/pv/group", "text vg"}}));
  EXPECT_THAT(leaves, Not(Contains(Key(HasSubstr("partition[2]/lv")))));
}

TEST_F(LvmTest, AGroupThatIsNotWhollyHereIsUnavailable) {
  appliance_.lvm.groups[0].physical.emplace_back("pv-c");
  const Leaves leaves = LeavesOf(appliance_, {"/dev/sda", "/dev/sdb"});
  for (const char* const prefix : {"partition[1]", "partition[2]"}) {
    EXPECT_EQ(leaves.at(prefix),
              "unavailable LVM: 1 of the 3 physical volumes of its group are "
              "not on this disk");
  }
  EXPECT_THAT(leaves, Not(Contains(Key(HasSubstr("/lv[")))));
}

TEST_F(LvmTest, APhysicalVolumeInsideALogicalOneIsOnlyNamed) {
  appliance_.devices["/dev/vg/root"] = PhysicalVolume();
  EXPECT_EQ(LeavesOf(appliance_, {"/dev/sda"}).at("partition[1]/lv[vg/root]"),
            "unavailable LVM physical volume: not read");
}

TEST_F(LvmTest, WhatLvmDoesNotAcceptIsSaidSo) {
  appliance_.lvm = {};
  EXPECT_EQ(LeavesOf(appliance_, {"/dev/sda"}).at("partition[1]"),
            "unavailable libguestfs: LVM does not accept it");
}

TEST(InspectContents, AnApplianceThatEndsIsALeafOfEachContent) {
  FakeAppliance appliance;
  appliance.failure = absl::UnavailableError("its appliance ended");
  const Leaves leaves = LeavesOf(appliance, {"/dev/sda", "/dev/sdb"});
  EXPECT_EQ(leaves.at("partition[1]"),
            "unavailable libguestfs: its appliance ended");
  EXPECT_EQ(leaves.at("partition[2]"),
            "unavailable libguestfs: its appliance ended");
}

TEST(InspectContents, EndsWithTheDisksError) {
  FakeAppliance appliance;
  appliance.devices["/dev/sda"] = Xfs();
  appliance.disk = absl::AbortedError("changed");
  EXPECT_THAT(Inspect(appliance, {"/dev/sda"}),
              StatusIs(absl::StatusCode::kAborted));
}

TEST(InspectContents, EndsAtItsTime) {
  FakeAppliance appliance;
  appliance.devices["/dev/sda"] = Xfs();
  EXPECT_THAT(
      Inspect(appliance, {"/dev/sda"}, {.time = std::chrono::milliseconds(0)}),
      StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(InspectContents, SaysWhatItsByteLimitCutsOff) {
  FakeAppliance appliance;
  appliance.devices["/dev/sda"] = Xfs();
  auto& files = appliance.filesystems[std::string("/dev/sda") + kXfsOptions];
  files = Root("5.2");
  files["/boot/vmlinuz"] = std::string(300'000, 'x');
  const auto leaves = Inspect(appliance, {"/dev/sda"}, {.read_bytes = 200'000});
  ASSERT_THAT(leaves, IsOk());
  EXPECT_THAT(ByPath(*leaves).at("partition[1]/boot[boot/vmlinuz]"),
              HasSubstr("too much to read"));
}

TEST(InspectContents, AFolderWithANameThatLeadsElsewhereIsDamage) {
  FakeAppliance appliance;
  appliance.devices["/dev/sda"] = Xfs();
  auto& files = appliance.filesystems[std::string("/dev/sda") + kXfsOptions];
  files = {{"/boot/..", "x"}};
  EXPECT_THAT(LeavesOf(appliance, {"/dev/sda"}).at("partition[1]/boot[boot]"),
              HasSubstr("a name that cannot be"));
}

}  // namespace
}  // namespace vmattest::disk
