#include "linuxguest/symbol_table.h"

#include <gmock/gmock.h>

#include "support/matchers.h"

namespace vmattest::linuxguest {
namespace {

using testing::StatusIs;

TEST(SymbolTableTest, FindsByNameAddressAndGlob) {
  SymbolTable table;
  const Limits limits;
  ASSERT_TRUE(table.Add(0x30, 't', "twice", limits).ok());
  ASSERT_TRUE(table.Add(0x10, 't', "local", limits).ok());
  ASSERT_TRUE(table.Add(0x10, 'T', "global", limits).ok());
  ASSERT_TRUE(table.Add(0x20, 't', "twice", limits).ok());
  table.Sort();
  EXPECT_EQ(table.Address("local"), 0x10U);
  EXPECT_EQ(table.Address("twice"), std::nullopt) << "which of them?";
  EXPECT_EQ(table.Covering(0x1f)->name, "global");
  EXPECT_FALSE(table.Covering(0xf));
  EXPECT_EQ(table.Next(0x10), 0x20U);
  EXPECT_EQ(table.Next(0x30), std::nullopt);
  EXPECT_EQ(table.Matching("*c?l").size(), 1U);
  EXPECT_EQ(table.Matching("tw*").size(), 2U);
}

TEST(SymbolTableTest, KeepsNoMoreThanItMay) {
  SymbolTable table;
  Limits limits;
  limits.symbols = 1;
  ASSERT_TRUE(table.Add(1, 't', "a", limits).ok());
  EXPECT_THAT(table.Add(2, 't', "b", limits),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(GlobTest, TakesNoExponentialTime) {
  const std::string text(5000, 'a');
  EXPECT_FALSE(GlobMatches("*a*a*a*a*a*a*a*a*a*a*b", text));
  EXPECT_TRUE(GlobMatches("*a*a*a*", text));
  EXPECT_TRUE(GlobMatches("", ""));
  EXPECT_FALSE(GlobMatches("?", ""));
}

}  // namespace
}  // namespace vmattest::linuxguest
