#include "reference/path_pattern.h"

#include <gtest/gtest.h>

#include <random>

#include "reference/decimal.h"

namespace vmattest::reference {
namespace {

bool Matches(std::string_view pattern, std::string_view path) {
  return PathPattern(pattern).Matches(path);
}

TEST(PathPatternTest, OneStarStaysWithinASegment) {
  EXPECT_TRUE(Matches("disk[*]/source/file", "disk[vda]/source/file"));
  EXPECT_FALSE(Matches("disk[*]/file", "disk[vda]/source/file"));
  EXPECT_TRUE(Matches("disk[vd*]/*/file", "disk[vda]/source/file"));
  EXPECT_TRUE(Matches("*", "name"));
  EXPECT_FALSE(Matches("*", "memory/max"));
  EXPECT_TRUE(Matches("memory/*", "memory/"));
}

TEST(PathPatternTest, TwoStarsCrossSegments) {
  EXPECT_TRUE(Matches("**", "disk[vda]/source/file"));
  EXPECT_TRUE(Matches("disk[vda]/**", "disk[vda]/source/file"));
  EXPECT_FALSE(Matches("disk[vda]/**", "disk[vdb]/source/file"));
  EXPECT_TRUE(Matches("**/file", "disk[vda]/source/file"));
  EXPECT_TRUE(Matches("**[vda]/**file", "disk[vda]/source/file"));
  EXPECT_TRUE(Matches("filesystem[**]/source", "filesystem[/mnt/a]/source"));
  EXPECT_FALSE(Matches("filesystem[*]/source", "filesystem[/mnt/a]/source"));
}

TEST(PathPatternTest, BracketsAndEverythingElseAreThemselves) {
  EXPECT_FALSE(Matches("disk[vd]*", "diskv"));
  EXPECT_TRUE(Matches("interface[52:54:00:*]/**",
                      "interface[52:54:00:aa:bb:cc]/mtu/size"));
  EXPECT_FALSE(Matches("na?e", "name"));
  EXPECT_FALSE(Matches("name*", "nam"));
}

// The definition, tried in every way.
bool Reference(std::string_view pattern, std::string_view path) {
  if (pattern.empty()) {
    return path.empty();
  }
  if (pattern.front() != '*') {
    return !path.empty() && path.front() == pattern.front() &&
           Reference(pattern.substr(1), path.substr(1));
  }
  const bool any = pattern.starts_with("**");
  const std::string_view rest = pattern.substr(any ? 2 : 1);
  for (size_t taken = 0; taken <= path.size(); ++taken) {
    if (Reference(rest, path.substr(taken))) {
      return true;
    }
    if (taken < path.size() && path[taken] == '/' && !any) {
      return false;
    }
  }
  return false;
}

TEST(PathPatternTest, AgreesWithTheDefinitionOnRandomTexts) {
  std::mt19937 random(7);
  const auto text = [&random](std::string_view alphabet, size_t most) {
    std::string made(random() % most, ' ');
    for (char& c : made) {
      c = alphabet[random() % alphabet.size()];
    }
    return made;
  };
  int matched = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string pattern = text("ab/**", 9);
    while (pattern.find("***") != std::string::npos) {
      pattern.replace(pattern.find("***"), 3, "**");
    }
    const std::string path = text("ab/", 10);
    const bool expected = Reference(pattern, path);
    ASSERT_EQ(Matches(pattern, path), expected) << pattern << " " << path;
    matched += expected ? 1 : 0;
  }
  EXPECT_GT(matched, 2'000);
}

TEST(DecimalTest, NumbersOfAnyLengthAreOrderedByValue) {
  EXPECT_TRUE(CompareDecimals("9", "10") < 0);
  EXPECT_TRUE(CompareDecimals("99999999999999999999999",
                              "100000000000000000000"
                              "000") < 0);
  EXPECT_TRUE(CompareDecimals("18446744073709551616", "18446744073709551615") >
              0);
  EXPECT_TRUE(CompareDecimals("-1", "0") < 0);
  EXPECT_TRUE(CompareDecimals("-10", "-9") < 0);
  EXPECT_TRUE(CompareDecimals("0", "0") == 0);
}

TEST(DecimalTest, OnlyCanonicalNumbersAreNumbers) {
  for (const char* good : {"0", "7", "-1", "123456789012345678901234567890"}) {
    EXPECT_TRUE(IsDecimal(good)) << good;
  }
  for (const char* bad :
       {"", "-", "-0", "01", "+1", "1.0", " 1", "0x1", "1e3"}) {
    EXPECT_FALSE(IsDecimal(bad)) << bad;
  }
}

}  // namespace
}  // namespace vmattest::reference
