#include "measurement/typed_leaves.h"

#include <set>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "measurement/domain_leaves.h"
#include "support/vectors.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Show(ValueKind kind, std::string_view text,
                 std::string_view unit = "KiB") {
  const auto value = ParseTyped(kind, text, unit);
  return value ? fmt::format("{} {}", vmattest::ToString(value->type),
                             value->value)
               : "none";
}

TEST(ParseTyped, IntegersLoseLeadingZerosAndWhiteSpace) {
  EXPECT_EQ(Show(ValueKind::kInteger, "007"), "integer 7");
  EXPECT_EQ(Show(ValueKind::kInteger, " 4\n"), "integer 4");
  EXPECT_EQ(Show(ValueKind::kInteger, "-1"), "integer -1");
  EXPECT_EQ(Show(ValueKind::kInteger, "-0"), "integer 0");
  EXPECT_EQ(Show(ValueKind::kInteger, "18446744073709551615"),
            "integer 18446744073709551615");
}

TEST(ParseTyped, RefusesWhatIsNoInteger) {
  for (const char* text : {"", "-", "+1", "0x10", "1.5", "1 2", "--1",
                           "18446744073709551616", "1e3"}) {
    EXPECT_EQ(Show(ValueKind::kInteger, text), "none") << text;
  }
}

TEST(ParseTyped, SizesAreBytesAsLibvirtScalesThem) {
  EXPECT_EQ(Show(ValueKind::kSize, "1"), "size 1024");
  EXPECT_EQ(Show(ValueKind::kSize, "5", "b"), "size 5");
  EXPECT_EQ(Show(ValueKind::kSize, "5", "bytes"), "size 5");
  EXPECT_EQ(Show(ValueKind::kSize, "2", "KB"), "size 2000");
  EXPECT_EQ(Show(ValueKind::kSize, "2", "k"), "size 2048");
  EXPECT_EQ(Show(ValueKind::kSize, "3", "MiB"), "size 3145728");
  EXPECT_EQ(Show(ValueKind::kSize, "1", "G"), "size 1073741824");
  EXPECT_EQ(Show(ValueKind::kSize, "1", "TiB"), "size 1099511627776");
  EXPECT_EQ(Show(ValueKind::kSize, "1", "EiB"), "size 1152921504606846976");
}

TEST(ParseTyped, RefusesSizesThatOverflowOrHaveNoUnit) {
  EXPECT_EQ(Show(ValueKind::kSize, "16", "EiB"), "none");
  EXPECT_EQ(Show(ValueKind::kSize, "1", "parsec"), "none");
  EXPECT_EQ(Show(ValueKind::kSize, "1", "kb2"), "none");
  EXPECT_EQ(Show(ValueKind::kSize, "1", ""), "none");
  EXPECT_EQ(Show(ValueKind::kSize, "-1", "KiB"), "none");
}

TEST(ParseTyped, ChoicesTakeTheirOwnWordsOnly) {
  EXPECT_EQ(Show(ValueKind::kYesNo, "yes"), "boolean true");
  EXPECT_EQ(Show(ValueKind::kYesNo, "no"), "boolean false");
  EXPECT_EQ(Show(ValueKind::kYesNo, "on"), "none");
  EXPECT_EQ(Show(ValueKind::kOnOff, "off"), "boolean false");
  EXPECT_EQ(Show(ValueKind::kOnOff, "yes"), "none");
}

TEST(ParseTyped, MacAddressesAreLowerCaseWithTwoDigits) {
  EXPECT_EQ(Show(ValueKind::kMac, "52:54:00:AB:cd:0E"),
            "text 52:54:00:ab:cd:0e");
  EXPECT_EQ(Show(ValueKind::kMac, "0:1:2:3:4:f"), "text 00:01:02:03:04:0f");
  for (const char* text :
       {"", "52:54:00:ab:cd", "52:54:00:ab:cd:0e:11", "52-54-00-ab-cd-0e",
        "g2:54:00:ab:cd:0e", "52:54:00:ab:cd:0e1", "52:54::ab:cd:0e"}) {
    EXPECT_EQ(Show(ValueKind::kMac, text), "none") << text;
  }
}

TEST(ParseTyped, UuidsHaveOneForm) {
  EXPECT_EQ(Show(ValueKind::kUuid, "D737E5EBCE6F49548DEDEC823CCBEDC3"),
            "text d737e5eb-ce6f-4954-8ded-ec823ccbedc3");
  EXPECT_EQ(Show(ValueKind::kUuid, "d737e5eb"), "none");
}

// What a rule calls its leaf where every element is the first of its name.
std::string PlainPath(const TypedRule& rule) {
  if (!rule.path.empty()) {
    return std::string(rule.path);
  }
  const std::string path = TypedPath(std::string(rule.element));
  return rule.attribute.empty() ? path
                                : fmt::format("{}/{}", path, rule.attribute);
}

TEST(TypedRules, NoTwoRulesShareALeafOrASource) {
  std::set<std::string> paths;
  std::set<std::pair<std::string_view, std::string_view>> sources;
  for (const TypedRule& rule : TypedRules()) {
    EXPECT_TRUE(paths.insert(PlainPath(rule)).second) << PlainPath(rule);
    EXPECT_TRUE(sources.insert({rule.element, rule.attribute}).second)
        << rule.element << "@" << rule.attribute;
  }
}

TEST(TypedRules, StayOutOfTheNamesOfOtherLeaves) {
  for (const TypedRule& rule : TypedRules()) {
    const std::string path = PlainPath(rule);
    for (const char* reserved : {"xml/", "order/", "host/", "@"}) {
      EXPECT_NE(path.rfind(reserved, 0), 0U) << path;
    }
    EXPECT_FALSE(path.ends_with("/content")) << path;
    EXPECT_EQ(path.find("chain"), std::string::npos) << path;
  }
}

TEST(TypedRules, DocumentListsExactlyThese) {
  const std::string document =
      testing::Slurp(std::filesystem::path(VMATTEST_SOURCE_DIR) /
                     "docs/formats/config-measurement.md");
  size_t rows = 0;
  for (const TypedRule& rule : TypedRules()) {
    const std::string row =
        fmt::format("| `{}` | `{}{}{}` | {} |\n", PlainPath(rule),
                    rule.element.empty() ? "." : rule.element,
                    rule.attribute.empty() ? "" : "/@", rule.attribute,
                    ToString(rule.kind));
    EXPECT_THAT(document, HasSubstr(row));
    ++rows;
  }
  const size_t begin = document.find("### Table of typed leaves");
  const size_t end = document.find("\n#", begin + 1);
  ASSERT_NE(begin, std::string::npos);
  const std::string table = document.substr(begin, end - begin);
  size_t documented = 0;
  for (size_t at = table.find("\n| `"); at != std::string::npos;
       at = table.find("\n| `", at + 1)) {
    ++documented;
  }
  EXPECT_EQ(documented, rows);
}

TEST(TypedLeaves, SameMeaningInOtherWordsIsTheSameRoot) {
  EXPECT_EQ(RootOf(DomainWith("",
                              "<currentMemory unit='MiB'>1"
                              "</currentMemory>")),
            RootOf(DomainWith("", "<currentMemory>1024</currentMemory>")));
  EXPECT_EQ(RootOf(DomainWith("<interface type='user'>"
                              "<mac address='52:54:00:AB:00:01'/>"
                              "</interface>")),
            RootOf(DomainWith("<interface type='user'>"
                              "<mac address='52:54:0:ab:0:1'/></interface>")));
}

TEST(TypedLeaves, WhatIsNoNumberIsMeasuredAsWrittenWithAWarning) {
  const auto measured = MeasureText(DomainWith("", "<vcpu>many</vcpu>"));
  ASSERT_TRUE(measured.ok());
  EXPECT_EQ(LeafOf(measured->tree.leaves, "vcpu/max"), "text many");
  EXPECT_THAT(measured->warnings,
              ::testing::Contains(HasSubstr("vcpu/max: 'many' is no integer")));
}

TEST(TypedLeaves, UnparsableUnitStaysVisible) {
  const std::string xml =
      DomainWith("", "<currentMemory unit='parsec'>5</currentMemory>");
  EXPECT_EQ(LeafOf(xml, "memory/current"), "text 5");
  EXPECT_EQ(LeafOf(xml, "xml/currentMemory"),
            "element <currentMemory unit='parsec'/>");
}

TEST(TypedLeaves, SecondElementOfANameKeepsItsOwnPath) {
  const std::string xml = DomainWith("", "<memory unit='MiB'>7</memory>");
  EXPECT_EQ(LeafOf(xml, "memory/max"), "size 1048576");
  EXPECT_EQ(LeafOf(xml, "memory[#2]"), "size 7340032");
}

TEST(TypedLeaves, MemoryModulesAreNotTheMemoryOfTheDomain) {
  EXPECT_EQ(LeafOf(DomainWith("<memory model='dimm'><target><size>1</size>"
                              "</target></memory>"),
                   "memory-device/target/size"),
            "size 1024");
}

TEST(TypedLeaves, NestedBackingStoresAreTyped) {
  EXPECT_EQ(
      LeafOf(DomainWith("<disk><target dev='vda'/><backingStore><backingStore>"
                        "<source file='/base'/></backingStore></backingStore>"
                        "</disk>"),
             "disk[vda]/backingStore/backingStore/source/file"),
      "text /base");
}

}  // namespace
}  // namespace vmattest::measurement
