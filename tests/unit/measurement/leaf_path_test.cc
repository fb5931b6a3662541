#include "measurement/leaf_path.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"

namespace vmattest::measurement {
namespace {

using ::testing::ElementsAre;

XmlElement Parse(std::string_view xml) { return *ParseXml(xml); }

std::vector<std::string> DevicePaths(std::string_view devices) {
  return ChildPaths(Parse("<devices>" + std::string(devices) + "</devices>"),
                    "devices");
}

TEST(EscapeKey, LeavesNothingThatPathsGiveAMeaningTo) {
  EXPECT_EQ(EscapeKey("vda"), "vda");
  EXPECT_EQ(EscapeKey("a]/[b#2%c:d e"), "a%5D/%5Bb%232%25c%3Ad%20e");
  EXPECT_EQ(EscapeKey("\xc3\xa9\n"), "%C3%A9%0A");
}

TEST(PathName, NamesLibvirtsNamespacesShortAndOthersByUri) {
  EXPECT_EQ(PathName(Parse("<x xmlns='http://libvirt.org/schemas/domain/"
                           "qemu/1.0'/>")),
            "qemu:x");
  EXPECT_EQ(PathName(Parse("<x xmlns='http://example.org/1'/>")),
            "{http:%2F%2Fexample.org%2F1}x");
  EXPECT_EQ(PathName(Parse("<qemu:x/>")), "qemu%3Ax");
}

TEST(ChildPaths, UseNaturalKeys) {
  EXPECT_THAT(
      DevicePaths("<disk><target dev='vda'/></disk>"
                  "<interface><mac address='52:54:00:AA:00:01'/></interface>"
                  "<controller type='pci' index='3'/>"
                  "<filesystem><target dir='/mnt'/></filesystem>"
                  "<channel><target type='virtio' name='a.0'/></channel>"
                  "<serial><target type='isa-serial' port='0'/></serial>"
                  "<graphics type='vnc'/>"),
      ElementsAre("devices/disk[vda]", "devices/interface[52:54:00:aa:00:01]",
                  "devices/controller[pci:3]", "devices/filesystem[/mnt]",
                  "devices/channel[virtio:a.0]", "devices/serial[isa-serial:0]",
                  "devices/graphics[vnc]"));
}

TEST(ChildPaths, NameHostDevicesByWhereTheyAre) {
  EXPECT_THAT(
      DevicePaths("<hostdev type='pci'><source><address domain='0x0000' "
                  "bus='0x06' slot='0x02' function='0x0'/></source></hostdev>"
                  "<hostdev type='usb'><source><vendor id='0x1'/>"
                  "<product id='0x2'/></source></hostdev>"),
      ElementsAre("devices/hostdev[pci::0x0000:0x06:0x02:0x0]",
                  "devices/hostdev[usb:::::::0x1:0x2]"));
}

TEST(ChildPaths, FallBackToTheNumber) {
  EXPECT_THAT(DevicePaths("<disk/><disk/><rng/><disk><target dev=''/></disk>"),
              ElementsAre("devices/disk", "devices/disk[#2]", "devices/rng",
                          "devices/disk[#3]"));
}

TEST(ChildPaths, NumberEqualKeys) {
  EXPECT_THAT(DevicePaths("<disk><target dev='vda'/></disk>"
                          "<disk><target dev='vda'/></disk>"),
              ElementsAre("devices/disk[vda]", "devices/disk[vda#2]"));
}

TEST(ChildPaths, AKeyCannotPassAsANumber) {
  EXPECT_THAT(DevicePaths("<disk/><disk/><disk><target dev='#2'/></disk>"
                          "<disk><target dev='vda#2'/></disk>"),
              ElementsAre("devices/disk", "devices/disk[#2]",
                          "devices/disk[%232]", "devices/disk[vda%232]"));
}

TEST(ChildPaths, LongKeysAreNotRepeatedForEveryDescendant) {
  const std::string key(kMaxKeySize + 1, 'k');
  EXPECT_THAT(DevicePaths("<disk><target dev='" + key + "'/></disk>"),
              ElementsAre("devices/disk"));
}

TEST(ChildPaths, OtherNamespacesHaveNoKeys) {
  EXPECT_THAT(DevicePaths("<disk xmlns='urn:x'><target dev='a' xmlns=''/>"
                          "</disk>"),
              ElementsAre("devices/{urn:x}disk"));
}

}  // namespace
}  // namespace vmattest::measurement
