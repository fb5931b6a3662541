#include "baseline/page_names.h"

#include <gmock/gmock.h>

#include <vector>

namespace vmattest::baseline {
namespace {

using Part = evidence::SnapshotPages::Part;
using ::testing::EndsWith;
using ::testing::Lt;
using ::testing::SizeIs;

// Four pages, the first of which is cut at 0x100.
Part Text(std::vector<Part::Symbol> symbols) {
  return {.name = "kernel/text",
          .content = "text",
          .address = 0xffffffff81000100,
          .size = 0x3f00,
          .first_page = 0,
          .pages = 4,
          .symbols = std::move(symbols)};
}

std::string Name(const Part& part, std::vector<uint64_t> pages) {
  return NamePages(part, 4096, pages);
}

TEST(NamePagesTest, WithoutSymbolsIsWhereTheFirstPageBegins) {
  EXPECT_EQ(Name(Text({}), {0}), "+0x0");
  EXPECT_EQ(Name(Text({}), {2, 3}), "+0x1f00");
}

TEST(NamePagesTest, SaysWhatReachesIntoAPageAndWhatBeginsInIt) {
  const Part part = Text({{0x0, "_text"},
                          {0xe00, "reaching"},
                          {0xf80, "beginning"},
                          {0x1efe, "last"},
                          {0x1f00, "at_once"}});
  EXPECT_EQ(Name(part, {0}), "+0x0 (_text, reaching)");
  EXPECT_EQ(Name(part, {1}), "+0xf00 (reaching+0x100, beginning, last)");
  EXPECT_EQ(Name(part, {2}), "+0x1f00 (at_once)");
  EXPECT_EQ(Name(part, {3}), "+0x2f00 (at_once+0x1000)");
}

TEST(NamePagesTest, BeforeTheFirstSymbolThereIsNoName) {
  EXPECT_EQ(Name(Text({{0x2000, "late"}}), {0, 2}), "+0x0, +0x1f00 (late)");
}

TEST(NamePagesTest, OfManyPagesTheFirstAreNamed) {
  const Part part = Text({{0, "a"}});
  EXPECT_EQ(Name(part, {0, 1, 2}),
            "+0x0 (a), +0xf00 (a+0xf00), +0x1f00 (a+0x1f00)");
  EXPECT_EQ(Name(part, {0, 1, 2, 3}),
            "+0x0 (a), +0xf00 (a+0xf00), +0x1f00 (a+0x1f00), ...");
}

TEST(NamePagesTest, IsShortWhateverTheNamesAre) {
  std::vector<Part::Symbol> symbols;
  for (uint64_t i = 0; i < 0x3f00; ++i) {
    symbols.push_back({i, std::string(64, 'x')});
  }
  const std::string name = Name(Text(symbols), {0, 1, 2, 3});
  EXPECT_THAT(name, SizeIs(Lt(800U)));
  EXPECT_THAT(name, EndsWith(", ...), ..."));
}

}  // namespace
}  // namespace vmattest::baseline
