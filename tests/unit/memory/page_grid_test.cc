#include "memory/page_grid.h"

#include "gtest/gtest.h"

namespace vmattest::memory {
namespace {

TEST(PageGrid, CutsAtMultiplesOfThePageSize) {
  const PageGrid grid({{0x1000, 0x4000}, {0x10800, 0x12400}}, 4096);
  ASSERT_EQ(grid.size(), 6U);
  EXPECT_EQ(grid.At(0), (AddressRange{0x1000, 0x2000}));
  EXPECT_EQ(grid.At(2), (AddressRange{0x3000, 0x4000}));
  EXPECT_EQ(grid.At(3), (AddressRange{0x10800, 0x11000}));
  EXPECT_EQ(grid.At(4), (AddressRange{0x11000, 0x12000}));
  EXPECT_EQ(grid.At(5), (AddressRange{0x12000, 0x12400}));
}

TEST(PageGrid, TellsHowManyWholePagesLieSideBySide) {
  const PageGrid grid({{0x1000, 0x4000}, {0x10800, 0x12400}}, 4096);
  EXPECT_EQ(grid.WholeFrom(0), 3U);
  EXPECT_EQ(grid.WholeFrom(2), 1U);
  EXPECT_EQ(grid.WholeFrom(3), 0U) << "begins in the middle";
  EXPECT_EQ(grid.WholeFrom(4), 1U);
  EXPECT_EQ(grid.WholeFrom(5), 0U) << "ends in the middle";
}

TEST(PageGrid, OfNothingIsEmpty) { EXPECT_EQ(PageGrid({}, 4096).size(), 0U); }

}  // namespace
}  // namespace vmattest::memory
