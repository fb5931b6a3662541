#include "measurement/live_xml.h"

#include <filesystem>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string Recorded(std::string_view name) {
  return testing::Slurp(std::filesystem::path(VMATTEST_SOURCE_DIR) /
                        "tests/unit/measurement/data" /
                        fmt::format("{}.xml", name));
}

// The root of live XML once it is taken back to its definition.
std::string RootOfRunning(std::string_view live, std::string_view defined) {
  const auto xml = AsDefined(live, defined);
  EXPECT_THAT(xml, IsOk());
  return xml.ok() ? RootOf(*xml) : "";
}

// Recorded from libvirt 9.0.0: virsh dumpxml and dumpxml --inactive of one
// running domain.
class RecordedPair : public ::testing::TestWithParam<const char*> {};

TEST_P(RecordedPair, LiveAndInactiveXmlHaveOneRoot) {
  const std::string live = Recorded(fmt::format("{}.live", GetParam()));
  const std::string inactive = Recorded(fmt::format("{}.inactive", GetParam()));
  EXPECT_EQ(RootOfRunning(live, inactive), RootOf(inactive));
}

INSTANTIATE_TEST_SUITE_P(Libvirt9, RecordedPair,
                         ::testing::Values("plain", "disks", "net", "netbr",
                                           "misc2", "numa", "viomem", "pc",
                                           "vncws", "vncsock", "efiman2", "fs",
                                           "cpuhm", "tpm"));

std::string Domain(std::string_view devices, std::string_view top = "") {
  return DomainWith(devices, top);
}

void ExpectTakenBack(const std::string& live, const std::string& defined) {
  EXPECT_NE(RootOf(live), RootOf(defined));
  EXPECT_EQ(RootOfRunning(live, defined), RootOf(defined));
}
void ExpectStays(const std::string& live, const std::string& defined) {
  EXPECT_EQ(RootOfRunning(live, defined), RootOf(live));
  EXPECT_NE(RootOf(live), RootOf(defined));
}

TEST(AsDefined, WithoutADefinitionIsTheLiveXml) {
  const std::string live = Recorded("plain.live");
  ASSERT_OK_AND_ASSIGN(const std::string same, AsDefined(live, ""));
  EXPECT_EQ(same, live);
}

TEST(AsDefined, RefusesTwoDomainsAndWhatIsNone) {
  EXPECT_THAT(AsDefined(Recorded("plain.live"), Recorded("pc.inactive")),
              StatusIs(kInvalid, HasSubstr("two domains")));
  EXPECT_THAT(AsDefined("<a/>", "<domain/>"),
              StatusIs(kInvalid, HasSubstr("live XML")));
  EXPECT_THAT(AsDefined("<domain/>", "<domain>"),
              StatusIs(kInvalid, HasSubstr("inactive XML: line 1")));
}

constexpr const char* kExpanded =
    "<cpu mode='custom' match='exact' check='full'><model fallback='forbid'>"
    "qemu64</model><feature policy='require' name='hypervisor'/>"
    "<feature policy='disable' name='svm'/></cpu>";

TEST(CpuExpansion, IsTakenBack) {
  for (const char* defined :
       {"", "<cpu mode='host-model' check='partial'/>",
        "<cpu mode='custom' match='exact' check='none'><model>qemu64</model>"
        "</cpu>",
        "<cpu mode='custom' match='exact' check='partial'><model>qemu64"
        "</model><feature policy='require' name='hypervisor'/>"
        "<feature policy='disable' name='svm'/>"
        "<feature policy='optional' name='aes'/></cpu>"}) {
    ExpectTakenBack(Domain("", kExpanded), Domain("", defined));
  }
}

TEST(CpuExpansion, OfAnotherModelStays) {
  ExpectStays(Domain("", kExpanded),
              Domain("",
                     "<cpu mode='custom' match='exact' check='none'>"
                     "<model>Nehalem</model></cpu>"));
}

TEST(CpuExpansion, ThatDeniesWhatWasAskedForStays) {
  for (const char* feature : {"<feature policy='require' name='aes'/>",
                              "<feature policy='require' name='svm'/>",
                              "<feature policy='disable' name='hypervisor'/>",
                              "<feature policy='forbid' name='hypervisor'/>"}) {
    ExpectStays(Domain("", kExpanded),
                Domain("", fmt::format("<cpu mode='custom' match='exact'>"
                                       "<model>qemu64</model>{}</cpu>",
                                       feature)));
  }
}

TEST(CpuExpansion, WithAnotherTopologyStays) {
  ExpectStays(Domain("", kExpanded),
              Domain("",
                     "<cpu mode='host-model'><topology sockets='2' "
                     "cores='1' threads='1'/></cpu>"));
}

TEST(CpuExpansion, OnlyACompleteOneIsTakenBack) {
  ExpectStays(Domain("",
                     "<cpu mode='custom' match='exact' check='partial'>"
                     "<model>qemu64</model></cpu>"),
              Domain("", "<cpu mode='host-model'/>"));
  ExpectStays(Domain("", kExpanded),
              Domain("", "<cpu mode='host-passthrough'/>"));
}

TEST(AsDefined, TakesTheBalloonBack) {
  ExpectTakenBack(Domain("", "<currentMemory>512</currentMemory>"),
                  Domain("", "<currentMemory>1024</currentMemory>"));
}

TEST(AsDefined, TakesADetectedChainBackButNotADefinedOne) {
  const auto disk = [](std::string_view chain) {
    return Domain(fmt::format(
        "<disk><source file='/top'/>{}<target dev='vda'/></disk>", chain));
  };
  const std::string base =
      "<backingStore type='file'><source file='/base'/><backingStore/>"
      "</backingStore>";
  ExpectTakenBack(disk(base), disk(""));
  ExpectTakenBack(disk("<backingStore/>"), disk(""));
  ExpectStays(disk(base), disk("<backingStore/>"));
  ExpectTakenBack(disk(base),
                  disk("<backingStore type='file'><source file='/base'/>"
                       "</backingStore>"));
}

TEST(AsDefined, TakesTheOverlayOfATransientDiskBack) {
  const std::string defined =
      "<disk><driver type='raw'/><source file='/a'/><target dev='vda'/>"
      "<transient/></disk>";
  const auto live = [](std::string_view base) {
    return Domain(fmt::format(
        "<disk><driver type='qcow2'/><source file='/a.TRANSIENT'/>"
        "<backingStore type='file'><source file='{}'/></backingStore>"
        "<target dev='vda'/><transient/></disk>",
        base));
  };
  ExpectTakenBack(live("/a"), Domain(defined));
  EXPECT_NE(RootOfRunning(live("/evil"), Domain(defined)),
            RootOf(Domain(defined)));
}

TEST(AsDefined, ChangedMediumStays) {
  ExpectStays(Domain("<disk><source file='/evil'/><target dev='sda'/></disk>"),
              Domain("<disk><source file='/cd'/><target dev='sda'/></disk>"));
  ExpectStays(Domain("<disk><source file='/evil'/><target dev='sda'/></disk>"),
              Domain("<disk><target dev='sda'/></disk>"));
}

TEST(AsDefined, PluggedDeviceStays) {
  ExpectStays(Domain("<interface type='network'><mac address='1'/><source "
                     "network='n'/></interface>"),
              Domain(""));
}

TEST(AsDefined, TakesGraphicsDefaultsBackWhereTheDefinitionLeavesThemOpen) {
  ExpectTakenBack(
      Domain("<graphics type='vnc' listen='127.0.0.1' websocket='5700'>"
             "<listen type='address' address='127.0.0.1'/></graphics>"),
      Domain("<graphics type='vnc' websocket='-1'><listen type='address'/>"
             "</graphics>"));
  ExpectStays(Domain("<graphics type='vnc' listen='0.0.0.0'/>"),
              Domain("<graphics type='vnc' listen='127.0.0.1'/>"));
  ExpectStays(Domain("<graphics type='vnc' websocket='5700'/>"),
              Domain("<graphics type='vnc' websocket='5701'/>"));
}

TEST(AsDefined, TakesWhatANetworkMadeOfAnInterfaceBack) {
  const std::string defined = Domain(
      "<interface type='network'><mac address='1'/>"
      "<source network='n'/></interface>");
  ExpectTakenBack(
      Domain("<interface type='direct'><mac address='1'/><source network='n' "
             "portid='p' dev='eth0' mode='bridge'/><vlan><tag id='3'/></vlan>"
             "<virtualport type='x'/></interface>"),
      defined);
  ExpectStays(Domain("<interface type='bridge'><mac address='1'/>"
                     "<source bridge='evil'/></interface>"),
              defined);
  ExpectStays(Domain("<interface type='bridge'><mac address='1'/><source "
                     "network='other' portid='p' bridge='b'/></interface>"),
              defined);
}

TEST(AsDefined, TakesSmallDefaultsBack) {
  ExpectTakenBack(
      Domain("<serial type='tcp'><source host='h' tls='no'/></serial>"),
      Domain("<serial type='tcp'><source host='h'/></serial>"));
  ExpectTakenBack(
      Domain("<memory><address type='dimm' slot='0' base='0x1'/></memory>"),
      Domain("<memory><address type='dimm' slot='0'/></memory>"));
  ExpectTakenBack(Domain("<filesystem><binary path='/usr/lib/qemu/virtiofsd'/>"
                         "<target dir='t'/></filesystem>"),
                  Domain("<filesystem><target dir='t'/></filesystem>"));
  ExpectStays(Domain("<filesystem><binary path='/tmp/virtiofsd'/>"
                     "<target dir='t'/></filesystem>"),
              Domain("<filesystem><target dir='t'/></filesystem>"));
  ExpectTakenBack(Domain("<hostdev type='pci'><driver name='vfio'/></hostdev>"),
                  Domain("<hostdev type='pci'/>"));
  ExpectTakenBack(
      Domain("<hostdev type='usb'><source><vendor id='1'/><address bus='1'/>"
             "</source></hostdev>"),
      Domain("<hostdev type='usb'><source><vendor id='1'/></source>"
             "</hostdev>"));
  ExpectTakenBack(
      Domain("<disk><driver name='qemu'/><target dev='sda'/></disk>"),
      Domain("<disk><driver name='qemu' type='raw'/><target dev='sda'/>"
             "</disk>"));
}

TEST(AsDefined, TakesTheNvramTemplateBack) {
  const auto os = [](std::string_view nvram) {
    return "<domain><os>" + std::string(nvram) + "</os></domain>";
  };
  ExpectTakenBack(os("<nvram template='/t'>/n</nvram>"),
                  os("<nvram>/n</nvram>"));
  ExpectStays(os("<nvram template='/t'>/n</nvram>"),
              os("<nvram template='/u'>/n</nvram>"));
}

TEST(AsDefined, EveryRuleIsInTheDocument) {
  const std::string document =
      testing::Slurp(std::filesystem::path(VMATTEST_SOURCE_DIR) /
                     "docs/formats/config-measurement.md");
  for (const FilledInRule& rule : FilledInRules()) {
    EXPECT_THAT(document,
                HasSubstr(fmt::format("| {} | {} |", rule.name, rule.why)));
  }
}

}  // namespace
}  // namespace vmattest::measurement
