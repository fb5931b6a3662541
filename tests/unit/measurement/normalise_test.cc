#include "measurement/normalise.h"

#include <filesystem>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/vectors.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

using ::testing::HasSubstr;

std::string RootWith(std::string_view devices, std::string_view top = "",
                     std::string_view attributes = "") {
  return RootOf(DomainWith(devices, top, attributes));
}

TEST(Volatile, DomainId) {
  EXPECT_EQ(RootWith("", "", "id='7'"), RootWith(""));
  EXPECT_EQ(RootWith("", "", "id='7'"), RootWith("", "", "id='8'"));
}

TEST(Volatile, DefaultResourcePartition) {
  const auto with = [](std::string_view content) {
    return RootWith("", "<resource>" + std::string(content) + "</resource>");
  };
  EXPECT_EQ(with("<partition>/machine</partition>"), RootWith(""));
  EXPECT_NE(with("<partition>/machine/prod</partition>"), RootWith(""));
  EXPECT_NE(with("<partition>/machine</partition><fibrechannel appid='a'/>"),
            RootWith(""));
}

TEST(Volatile, DeviceAliases) {
  const auto with = [](std::string_view name) {
    return RootWith("<rng><alias name='" + std::string(name) + "'/></rng>");
  };
  EXPECT_EQ(with("rng0"), RootWith("<rng/>"));
  EXPECT_NE(with("ua-rng0"), RootWith("<rng/>"));
  EXPECT_NE(with("ua-rng0"), with("ua-rng1"));
}

TEST(Volatile, PtyPaths) {
  EXPECT_EQ(RootWith("<serial type='pty'><source path='/dev/pts/3'/>"
                     "</serial>"),
            RootWith("<serial type='pty'/>"));
  EXPECT_EQ(RootWith("<console type='pty' tty='/dev/pts/3'>"
                     "<source path='/dev/pts/3'/></console>"),
            RootWith("<console type='pty'/>"));
  EXPECT_NE(RootWith("<serial type='dev'><source path='/dev/pts/3'/>"
                     "</serial>"),
            RootWith("<serial type='dev'/>"));
  EXPECT_NE(RootWith("<serial type='pty'><source path='/dev/ttyS0'/>"
                     "</serial>"),
            RootWith("<serial type='pty'/>"));
}

TEST(Volatile, VirtioConsolePorts) {
  const auto with = [](std::string_view type, int port) {
    return RootWith(
        fmt::format("<console type='pty'><target type='{}' "
                    "port='{}'/></console>",
                    type, port));
  };
  EXPECT_EQ(with("virtio", 0), with("virtio", 1));
  EXPECT_NE(with("serial", 0), with("serial", 1));
}

std::string Channel(std::string_view path, std::string_view name = "a.0") {
  return RootWith(
      fmt::format("<channel type='unix'><source mode='bind' path='{}'/>"
                  "<target type='virtio' name='{}'/></channel>",
                  path, name));
}

TEST(Volatile, AutomaticChannelSockets) {
  const std::string bare = RootWith(
      "<channel type='unix'><target type='virtio' name='a.0'/></channel>");
  EXPECT_EQ(Channel("/var/lib/libvirt/qemu/channel/target/domain-7-web/a.0"),
            bare);
  EXPECT_EQ(Channel("/run/libvirt/qemu/channel/7-web/a.0"), bare);
  EXPECT_NE(Channel("/var/lib/libvirt/qemu/channel/target/domain-7-web/b.0"),
            bare);
  EXPECT_NE(Channel("/run/libvirt/qemu/channel/web/a.0"), bare);
  EXPECT_NE(Channel("/run/libvirt/qemu/channel/7-web/x/a.0"), bare);
  EXPECT_NE(Channel("/tmp/a.0"), bare);
  EXPECT_NE(Channel("/tmp/a.0"), Channel("/tmp/b.0"));
}

TEST(Volatile, ChannelState) {
  const auto with = [](std::string_view state) {
    return RootWith("<channel><target type='virtio' name='a.0' " +
                    std::string(state) + "/></channel>");
  };
  EXPECT_EQ(with("state='connected'"), with("state='disconnected'"));
  EXPECT_EQ(with("state='connected'"), with(""));
}

TEST(Volatile, DynamicSecurityLabels) {
  const auto with = [](std::string_view label) { return RootWith("", label); };
  EXPECT_EQ(with("<seclabel type='dynamic' model='dac' relabel='yes'>"
                 "<label>+0:+0</label><imagelabel>+0:+0</imagelabel>"
                 "</seclabel>"),
            with(""));
  EXPECT_EQ(with("<seclabel type='dynamic' model='selinux'>"
                 "<baselabel>u:r:t</baselabel><label>x</label></seclabel>"),
            with("<seclabel type='dynamic' model='selinux'>"
                 "<baselabel>u:r:t</baselabel></seclabel>"));
}

TEST(Volatile, S18_OnlyDynamicSecurityLabelsAre) {
  const auto with = [](std::string_view label) { return RootWith("", label); };
  EXPECT_NE(with("<seclabel type='static' model='dac'><label>0:0</label>"
                 "</seclabel>"),
            with("<seclabel type='static' model='dac'><label>1:1</label>"
                 "</seclabel>"));
  EXPECT_NE(with("<seclabel type='none'/>"), with(""));
  EXPECT_NE(with("<seclabel type='dynamic' relabel='no'/>"), with(""));
  EXPECT_NE(with("<seclabel type='dynamic'><baselabel>a</baselabel>"
                 "</seclabel>"),
            with(""));
  EXPECT_NE(RootWith("<disk><source><seclabel model='dac' relabel='no'/>"
                     "</source></disk>"),
            RootWith("<disk><source/></disk>"));
}

TEST(Volatile, AutomaticGraphicsPorts) {
  EXPECT_EQ(RootWith("<graphics type='vnc' port='5900' autoport='yes'/>"),
            RootWith("<graphics type='vnc' port='-1' autoport='yes'/>"));
  EXPECT_EQ(RootWith("<graphics type='spice' port='5900' tlsPort='5901' "
                     "autoport='yes'/>"),
            RootWith("<graphics type='spice' autoport='yes'/>"));
  EXPECT_NE(RootWith("<graphics type='vnc' port='5900' autoport='no'/>"),
            RootWith("<graphics type='vnc' port='5901' autoport='no'/>"));
  EXPECT_NE(RootWith("<graphics type='vnc' autoport='yes' websocket='1'/>"),
            RootWith("<graphics type='vnc' autoport='yes' websocket='2'/>"));
}

TEST(Volatile, AutomaticGraphicsSockets) {
  const auto with = [](std::string_view socket) {
    return RootWith(
        fmt::format("<graphics type='vnc' socket='{0}'><listen "
                    "type='socket' socket='{0}'/></graphics>",
                    socket));
  };
  EXPECT_EQ(with("/var/lib/libvirt/qemu/domain-58-web/vnc.sock"),
            RootWith("<graphics type='vnc'><listen type='socket'/>"
                     "</graphics>"));
  EXPECT_NE(with("/tmp/vnc.sock"), with("/tmp/other.sock"));
}

TEST(Volatile, GeneratedInterfaceNames) {
  const auto with = [](std::string_view name) {
    return RootWith("<interface type='bridge'><target dev='" +
                    std::string(name) + "'/></interface>");
  };
  for (const char* name : {"vnet0", "vnet17", "macvtap3", "macvlan2"}) {
    EXPECT_EQ(with(name), RootWith("<interface type='bridge'/>")) << name;
  }
  EXPECT_NE(with("tap0"), with("tap1"));
}

TEST(Volatile, NetworkPort) {
  const auto with = [](std::string_view type, std::string_view extra) {
    return RootWith(
        fmt::format("<interface type='{}'><source network='n' {}/></interface>",
                    type, extra));
  };
  EXPECT_EQ(with("network", "portid='1' bridge='virbr0'"), with("network", ""));
  EXPECT_NE(with("bridge", "bridge='virbr0'"), with("bridge", "bridge='x'"));
  EXPECT_NE(with("bridge", "portid='1' bridge='virbr0'"), with("network", ""));
}

TEST(Volatile, DiskLayerNumbers) {
  const auto with = [](std::string_view number) {
    return RootWith(fmt::format(
        "<disk><source file='/a' {0}/><backingStore type='file' {0}>"
        "<source file='/b' {0}/></backingStore></disk>",
        number));
  };
  EXPECT_EQ(with("index='3'"), with(""));
  EXPECT_NE(RootWith("<disk><source file='/a'/><backingStore/></disk>"),
            RootWith("<disk><source file='/a'/></disk>"));
}

TEST(Volatile, PluggedPartOfAMemoryModule) {
  const auto with = [](std::string_view current) {
    return RootWith("<memory model='virtio-mem'><target><size>9</size>" +
                    std::string(current) + "</target></memory>");
  };
  EXPECT_EQ(with("<current unit='KiB'>4</current>"), with(""));
  EXPECT_NE(with("<requested>4</requested>"), with("<requested>5</requested>"));
}

TEST(Volatile, RunningBlockCopyIsNotNormalisedAway) {
  EXPECT_NE(RootWith("<disk><mirror file='/copy' job='copy'/></disk>"),
            RootWith("<disk/>"));
}

TEST(Volatile, EveryRuleIsInTheDocument) {
  const std::string document =
      testing::Slurp(std::filesystem::path(VMATTEST_SOURCE_DIR) /
                     "docs/formats/config-measurement.md");
  for (const VolatileRule& rule : VolatileRules()) {
    EXPECT_THAT(document,
                HasSubstr(fmt::format("| {} | {} |", rule.name, rule.why)));
  }
}

TEST(Normalise, TwiceChangesNoMore) {
  XmlElement once = *ParseXml(DomainWith(
      "<console type='pty' tty='/dev/pts/3'><source path='/dev/pts/3'/>"
      "<alias name='c0'/></console>",
      "<seclabel type='dynamic'/><seclabel type='dynamic'/>", "id='1'"));
  Normalise(once);
  XmlElement twice = once;
  Normalise(twice);
  EXPECT_EQ(once, twice);
}

}  // namespace
}  // namespace vmattest::measurement
