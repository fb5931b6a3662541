#include "measurement/firmware.h"

#include <filesystem>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "measurement/live_xml.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::StatusIs;

std::string Recorded(std::string_view file) {
  return testing::Slurp(std::filesystem::path(VMATTEST_SOURCE_DIR) /
                        "tests/unit/measurement/data" / file);
}

std::string Open(std::string_view in_os, std::string_view features = "") {
  return fmt::format(
      "<domain><name>w</name><memory>1</memory><vcpu>1</vcpu>"
      "<os firmware='efi'><type>hvm</type>{}</os>{}<devices/></domain>",
      in_os, features);
}
std::string Live(std::string_view in_os, std::string_view features = "") {
  return fmt::format(
      "<domain><name>w</name><memory>1</memory><vcpu>1</vcpu>"
      "<os><type>hvm</type>{}</os>{}<devices/></domain>",
      in_os, features);
}

constexpr const char* kFlash =
    "-blockdev '{\"driver\":\"file\",\"filename\":\"/code\","
    "\"node-name\":\"libvirt-pflash0-storage\"}' "
    "-blockdev '{\"node-name\":\"libvirt-pflash0-format\",\"read-only\":true,"
    "\"driver\":\"raw\",\"file\":\"libvirt-pflash0-storage\"}' ";
constexpr const char* kVars =
    "-blockdev '{\"driver\":\"file\",\"filename\":\"/vars\","
    "\"node-name\":\"libvirt-pflash1-storage\"}' ";

std::string RootAsStarted(const std::string& defined,
                          const std::string& command) {
  const auto firmware = FirmwareOfCommand(command);
  EXPECT_THAT(firmware, IsOk());
  const auto xml = WithFirmware(defined, *firmware);
  EXPECT_THAT(xml, IsOk());
  return RootOf(*xml);
}
std::string RootOfRunning(const std::string& live, const std::string& defined) {
  const auto xml = AsDefined(live, defined);
  EXPECT_THAT(xml, IsOk());
  return RootOf(*xml);
}

// Recorded from libvirt 9.0.0: both forms of one running domain, and virsh
// domxml-to-native of the inactive one.
TEST(Firmware, LiveXmlAndDefinitionWithLibvirtsChoiceHaveOneRoot) {
  const std::string inactive = Recorded("efi.inactive.xml");
  const std::string as_started =
      RootAsStarted(inactive, Recorded("efi.start-command"));
  EXPECT_EQ(RootOfRunning(Recorded("efi.live.xml"), inactive), as_started);
  EXPECT_NE(as_started, RootOf(inactive));
}

TEST(Firmware, AnotherLoaderAnotherRoot) {
  const std::string live = Live(
      "<loader readonly='yes' type='pflash'>/code</loader>"
      "<nvram template='/t'>/vars</nvram>");
  const std::string same = std::string(kFlash) + kVars;
  EXPECT_EQ(RootOfRunning(live, Open("")), RootAsStarted(Open(""), same));
  std::string other = same;
  other.replace(other.find("/code"), 5, "/evil");
  EXPECT_NE(RootOfRunning(live, Open("")), RootAsStarted(Open(""), other));
}

TEST(Firmware, WhatTheDefinitionNamesStays) {
  const std::string open =
      Open("<loader secure='yes'/><nvram template='/t'>/mine</nvram>",
           "<features><smm state='on'/></features>");
  const std::string live = Live(
      "<loader readonly='yes' secure='yes' type='pflash'>/code</loader>"
      "<nvram template='/t'>/mine</nvram>",
      "<features><smm state='on'/></features>");
  const std::string command =
      std::string(kFlash) + kVars +
      "-global driver=cfi.pflash01,property=secure,value=on";
  EXPECT_EQ(RootOfRunning(live, open), RootAsStarted(open, command));
  const std::string switched_off = Open("<nvram template='/t'>/mine</nvram>");
  EXPECT_EQ(RootOfRunning(live, switched_off),
            RootAsStarted(switched_off, command));
}

TEST(Firmware, SmmThatNoFirmwareNeededStays) {
  const std::string live =
      Live("<loader readonly='yes' type='pflash'>/code</loader>",
           "<features><smm state='on'/></features>");
  EXPECT_NE(RootOfRunning(live, Open("")), RootAsStarted(Open(""), kFlash));
}

TEST(FirmwareQuestion, HasNoDevicesAndNothingButWhatTheChoiceNeeds) {
  ASSERT_OK_AND_ASSIGN(
      const auto question,
      FirmwareQuestion(
          "<domain type='kvm'><name>w</name><metadata/><cpu mode='host'/>"
          "<os firmware='efi'/><features><smm state='on'/></features>"
          "<devices><emulator>/q</emulator><disk><source file='/d'/></disk>"
          "</devices></domain>"));
  ASSERT_TRUE(question.has_value());
  EXPECT_THAT(*question, HasSubstr("kvm"));
  EXPECT_THAT(*question, HasSubstr("<emulator>/q</emulator>"));
  EXPECT_THAT(*question, HasSubstr("smm"));
  EXPECT_THAT(*question, Not(HasSubstr("disk")));
  EXPECT_THAT(*question, Not(HasSubstr("cpu")));
}

TEST(FirmwareQuestion, IsNotAskedWhereTheLoaderIsNamed) {
  for (const char* xml :
       {"<domain/>", "<domain><os/></domain>",
        "<domain><os><loader>/l</loader></os></domain>",
        "<domain><os firmware='efi'><loader>/l</loader></os></domain>"}) {
    EXPECT_EQ(FirmwareQuestion(xml).value(), std::nullopt) << xml;
    EXPECT_EQ(WithFirmware(xml, {.loader = "/x"}).value(), xml);
  }
  EXPECT_THAT(FirmwareQuestion("<domain>"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FirmwareOfCommand, ReadsFlashRomAndQuoting) {
  const std::string secure =
      std::string("HOME='/a b' qemu -S \\\n") + kFlash + kVars +
      "-global driver=cfi.pflash01,property=secure,value=on\n";
  EXPECT_EQ(FirmwareOfCommand(secure).value(),
            (ChosenFirmware{.loader = "/code",
                            .flash = true,
                            .read_only = true,
                            .secure = true,
                            .nvram = "/vars"}));
  EXPECT_EQ(FirmwareOfCommand("qemu -bios '/it'\\''s here'").value(),
            (ChosenFirmware{.loader = "/it's here", .flash = false}));
}

TEST(FirmwareOfCommand, RefusesWhatNamesNoneOrTwo) {
  EXPECT_THAT(FirmwareOfCommand(""), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(FirmwareOfCommand("qemu -m 64"),
              StatusIs(absl::StatusCode::kNotFound));
  const std::string flash = kFlash;
  for (const std::string& command :
       {flash + flash, flash + "-bios /b", std::string("-bios /a -bios /b"),
        std::string("qemu 'open"), flash.substr(0, flash.find("' ") + 2)}) {
    EXPECT_THAT(FirmwareOfCommand(command),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << command;
  }
}

}  // namespace
}  // namespace vmattest::measurement
