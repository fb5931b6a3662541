#include "measurement/domain_leaves.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "measurement/normalise.h"
#include "support/matchers.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string RootWith(std::string_view devices, std::string_view top = "") {
  return RootOf(DomainWith(devices, top));
}

std::vector<std::string> WarningsOf(const std::string& xml) {
  const auto measured = MeasureText(xml);
  EXPECT_THAT(measured, IsOk());
  return measured.ok() ? measured->warnings : std::vector<std::string>();
}

TEST(DomainLeaves, RefuseWhatIsNoDomain) {
  EXPECT_THAT(MeasureText("<network><name>n</name></network>"),
              StatusIs(kInvalid, HasSubstr("<network>, not <domain>")));
  EXPECT_THAT(MeasureText("<domain xmlns='urn:other'/>"),
              StatusIs(kInvalid, HasSubstr("of another namespace")));
}

TEST(DomainLeaves, WhatNoTypedLeafCoversGoesIntoTheElementsLeaf) {
  const std::string xml = DomainWith(
      "<disk type='file'><driver name='qemu' errors='stop' ats='on'/>"
      "<target dev='vda'/></disk>");
  EXPECT_EQ(LeafOf(xml, "disk[vda]/driver/name"), "text qemu");
  EXPECT_EQ(LeafOf(xml, "xml/devices/disk[vda]/driver"),
            "element <driver ats='on' errors='stop'/>");
}

TEST(DomainLeaves, ElementCoveredByTypedLeavesNeedsNoOther) {
  EXPECT_EQ(LeafOf(DomainWith(""), "xml/name"), "");
  EXPECT_EQ(LeafOf(DomainWith(""), "xml/devices"), "element <devices/>");
}

TEST(DomainLeaves, EmptyElementCounts) {
  EXPECT_NE(RootWith("", "<features/>"), RootWith(""));
  EXPECT_NE(RootWith("", "<features><acpi/></features>"),
            RootWith("", "<features/>"));
  EXPECT_NE(RootWith("<disk/>"), RootWith(""));
  EXPECT_NE(RootWith("<disk/>"), RootWith("<disk/><disk/>"));
}

TEST(DomainLeaves, EmptyAttributeIsNotAnAbsentOne) {
  EXPECT_NE(RootWith("<video x=''/>"), RootWith("<video/>"));
  EXPECT_NE(RootWith("<emulator/>"), RootWith(""));
  EXPECT_NE(RootWith("<tpm model=''/>"), RootWith("<tpm/>"));
}

TEST(DomainLeaves, AttributeTextAndChildDoNotPassAsEachOther) {
  const std::string attribute = RootWith("<x y='1'/>");
  const std::string text = RootWith("<x>1</x>");
  const std::string child = RootWith("<x><y>1</y></x>");
  EXPECT_NE(attribute, text);
  EXPECT_NE(attribute, child);
  EXPECT_NE(text, child);
  EXPECT_NE(RootWith("<x>&lt;y/></x>"), RootWith("<x><y/></x>"));
}

TEST(DomainLeaves, WhereAnElementStandsCounts) {
  EXPECT_NE(RootWith("<a><b/></a><c/>"), RootWith("<a/><c><b/></c>"));
  EXPECT_NE(RootWith("<acpi/>", ""), RootWith("", "<acpi/>"));
}

TEST(DomainLeaves, MixedContentKeepsItsPositions) {
  const std::string first = DomainWith("<x>one<y/>two</x>");
  EXPECT_EQ(LeafOf(first, "xml/devices/x"), "element <x>one<y/>two</x>");
  EXPECT_NE(RootOf(first), RootWith("<x><y/>onetwo</x>"));
  EXPECT_NE(RootOf(first), RootWith("<x>onetwo<y/></x>"));
}

TEST(DomainLeaves, OtherNamespaceIsAnotherElement) {
  EXPECT_NE(RootWith("<n:disk xmlns:n='urn:n'/>"), RootWith("<disk/>"));
  EXPECT_NE(RootWith("<n:disk xmlns:n='urn:n'/>"),
            RootWith("<n:disk xmlns:n='urn:m'/>"));
  EXPECT_EQ(RootWith("<n:disk xmlns:n='urn:n'/>"),
            RootWith("<disk xmlns='urn:n'/>"));
  EXPECT_NE(RootWith("<disk n:type='a' xmlns:n='urn:n'/>"),
            RootWith("<disk type='a'/>"));
}

TEST(DomainLeaves, OrderOfDevicesOfOneKindCounts) {
  const std::string a = "<disk><target dev='vda'/></disk>";
  const std::string b = "<disk><target dev='vdb'/></disk>";
  EXPECT_EQ(LeafOf(DomainWith(a + b), "order/disk"), "text [vda][vdb]");
  EXPECT_NE(RootWith(a + b), RootWith(b + a));
  EXPECT_NE(RootWith(a + "<disk/>"), RootWith("<disk/>" + a));
}

TEST(DomainLeaves, OrderOfDifferentKindsDoesNotCount) {
  EXPECT_EQ(RootWith("<rng/><tpm/>"), RootWith("<tpm/><rng/>"));
}

TEST(DomainLeaves, OrderOfControllersDoesNotCount) {
  const std::string a = "<controller type='pci' index='1' model='x'/>";
  const std::string b = "<controller type='usb' index='0' model='y'/>";
  EXPECT_EQ(RootWith(a + b), RootWith(b + a));
  EXPECT_NE(RootWith(a + b), RootWith(a));
}

TEST(DomainLeaves, OrderOfBootDevicesCounts) {
  EXPECT_NE(RootWith("", "<os><boot dev='hd'/><boot dev='cdrom'/></os>"),
            RootWith("", "<os><boot dev='cdrom'/><boot dev='hd'/></os>"));
}

TEST(DomainLeaves, FeatureIsNamedInItsPath) {
  const std::string xml =
      DomainWith("", "<cpu><feature policy='disable' name='avx'/></cpu>");
  EXPECT_EQ(LeafOf(xml, "cpu/feature[avx]/policy"), "text disable");
  EXPECT_EQ(LeafOf(xml, "xml/cpu/feature[avx]"), "");
  EXPECT_NE(RootOf(xml), RootWith("",
                                  "<cpu><feature policy='disable' "
                                  "name='sse'/></cpu>"));
}

TEST(DomainLeaves, S10_MetadataIsMeasuredLikeEverythingElse) {
  EXPECT_NE(RootWith("",
                     "<metadata><m:p xmlns:m='urn:m'>enforce</m:p>"
                     "</metadata>"),
            RootWith("",
                     "<metadata><m:p xmlns:m='urn:m'>learn</m:p>"
                     "</metadata>"));
}

TEST(DomainLeaves, HostileNamesNeverCollide) {
  EXPECT_THAT(
      MeasureText(DomainWith(
          "<disk passwd='a'><passwd>b</passwd><target dev='a'/></disk>"
          "<disk><target dev='a'/></disk><disk><target dev='a#2'/></disk>"
          "<disk/><disk><target dev='#2'/></disk>"
          "<memory><max>1</max></memory><chain><content/></chain>",
          "<memory max='1'><max>2</max></memory><memory/><devices><disk/>"
          "</devices><xml><xml/></xml><order><disk/></order>"
          "<domain type='x'/><vcpu max='3'>1</vcpu><vcpu>2</vcpu>")),
      IsOk());
}

TEST(DomainLeaves, BoundTheirSize) {
  const std::string name(kMaxXmlNameSize, 'n');
  std::string xml = "<domain>";
  for (int i = 0; i < 200; ++i) {
    xml += "<" + name + ">";
  }
  for (int i = 0; i < 90'000; ++i) {
    xml += "<a/>";
  }
  for (int i = 0; i < 200; ++i) {
    xml += "</" + name + ">";
  }
  EXPECT_THAT(MeasureText(xml + "</domain>"),
              StatusIs(kInvalid, HasSubstr("exceed")));
}

TEST(Warnings, PlausibleDomainHasNone) {
  EXPECT_THAT(WarningsOf(DomainWith("<disk><target dev='vda'/></disk>")),
              IsEmpty());
}

TEST(Warnings, NameMissingAndDoubledParts) {
  EXPECT_THAT(WarningsOf("<domain/>"),
              ::testing::IsSupersetOf(
                  {HasSubstr("domain/type: the attribute is missing"),
                   HasSubstr("name: the element is missing"),
                   HasSubstr("os: the element is missing")}));
  EXPECT_THAT(
      WarningsOf(DomainWith("", "<uuid>x</uuid><uuid>y</uuid>")),
      ::testing::IsSupersetOf({HasSubstr("uuid: the element occurs 2 times"),
                               HasSubstr("uuid: 'x' is no UUID")}));
  EXPECT_THAT(WarningsOf(DomainWith("", "<name>other</name>")),
              Contains(HasSubstr("name: the element occurs 2 times")));
}

TEST(Warnings, NameTwoDisksWithOneTarget) {
  EXPECT_THAT(WarningsOf(DomainWith("<disk><target dev='vda'/></disk>"
                                    "<disk><target dev='vda'/></disk>")),
              Contains(HasSubstr("disk[vda]: two disks")));
}

TEST(Warnings, AreBounded) {
  std::string features;
  for (int i = 0; i < 500; ++i) {
    features += "<vcpu>x</vcpu>";
  }
  EXPECT_THAT(WarningsOf(DomainWith("", features)), SizeIs(kMaxWarnings + 1));
}

TEST(Identity, IsReadFromNameAndUuid) {
  const auto measured = MeasureText(
      DomainWith("", "<uuid>D737E5EB-CE6F-4954-8DED-EC823CCBEDC3</uuid>"));
  ASSERT_THAT(measured, IsOk());
  EXPECT_EQ(measured->name, "web");
  EXPECT_EQ(measured->uuid, "d737e5eb-ce6f-4954-8ded-ec823ccbedc3");
  EXPECT_EQ(MeasureText(DomainWith(""))->uuid, "");
  EXPECT_EQ(MeasureText(DomainWith("", "<uuid>no</uuid>"))->uuid, "");
}

}  // namespace
}  // namespace vmattest::measurement
