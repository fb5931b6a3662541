#include "linuxguest/page_walk.h"

#include <gmock/gmock.h>

#include "fakes/array_guest_memory.h"
#include "support/matchers.h"

namespace vmattest::linuxguest {
namespace {

using testing::ArrayGuestMemory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

constexpr uint64_t kNoExecute = uint64_t{1} << 63;

class PageWalkTest : public ::testing::Test {
 protected:
  // Entry `index` of the table at `table`.
  void Entry(uint64_t table, uint64_t index, uint64_t value) {
    memory_.Number(table + index * 8, value);
  }
  // The tables at 0x1000, 0x2000, ... for addresses from 0.
  void Chain(int levels) {
    for (int i = 0; i < levels - 1; ++i) {
      Entry(0x1000 + i * 0x1000, 0, (0x2000 + i * 0x1000) | 7);
    }
  }
  absl::StatusOr<WalkFacts> Walk(const Paging& paging, Limits limits = {}) {
    PhysicalReader reader(memory_, limits);
    found_.clear();
    return WalkExecutable(reader, paging, 0, UINT64_MAX,
                          [this](const Mapping& mapping) {
                            found_.push_back(mapping);
                            return absl::OkStatus();
                          });
  }

  ArrayGuestMemory memory_{64 << 10};
  PhysicalReader reader_{memory_, Limits{}};
  std::vector<Mapping> found_;
};

TEST_F(PageWalkTest, FourAndFiveLevels) {
  for (const int levels : {4, 5}) {
    memory_.Write(0, Bytes(64 << 10));
    Chain(levels);
    Entry(uint64_t{0x1000} * static_cast<uint64_t>(levels), 3,
          0xabcd000 | 1 | kNoExecute);
    PhysicalReader reader(memory_, Limits{});
    EXPECT_THAT(Translate(reader, {0x1000, levels}, 0x3123).value(),
                (Mapping{0x3000, 0xabcd000, 0x1000, {false, false, false}}));
    EXPECT_THAT(Translate(reader, {0x1000, levels}, 0x4000),
                StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST_F(PageWalkTest, LargePages) {
  Chain(3);
  Entry(0x2000, 1, 0x40000000 | 0x83);  // 1 GiB
  Entry(0x3000, 1, 0x600000 | 0x87);    // 2 MiB
  EXPECT_EQ(Translate(reader_, {0x1000, 4}, 0x40001000)->physical, 0x40000000U);
  const Mapping large = Translate(reader_, {0x1000, 4}, 0x234567).value();
  EXPECT_EQ(large.size, 2U << 20);
  EXPECT_EQ(large.physical, 0x600000U);
  EXPECT_TRUE(large.access.user);
}

TEST_F(PageWalkTest, NonCanonicalAddressesLeadNowhere) {
  EXPECT_THAT(Translate(reader_, {0x1000, 4}, 0x0000800000000000),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PageWalkTest, ReservedBitsAndTablesOutsideRamAreSaid) {
  Entry(0x1000, 0, 0x2000 | 0x87);  // PS at the top
  Entry(0x1000, 1, 0x7fff000 | 7);
  EXPECT_THAT(Translate(reader_, {0x1000, 4}, 0),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Translate(reader_, {0x1000, 4}, uint64_t{1} << 39),
              StatusIs(absl::StatusCode::kDataLoss));
  const WalkFacts facts = Walk({0x1000, 4}).value();
  EXPECT_THAT(facts.problems,
              ElementsAre(HasSubstr("reserved bits"), HasSubstr("no RAM")));
}

TEST_F(PageWalkTest, RootOutsideRamIsAFact) {
  EXPECT_EQ(Walk({0x7ffff000, 4}).value().problem_count, 1U);
}

TEST_F(PageWalkTest, RunsAreJoinedAndRightsNarrow) {
  Chain(4);
  Entry(0x3000, 0, 0x4000 | 5);  // the level above forbids to write
  Entry(0x4000, 0, 0x10000 | 7);
  Entry(0x4000, 1, 0x11000 | 7);
  Entry(0x4000, 2, 0x20000 | 7);
  Entry(0x4000, 3, 0x21000 | 7 | kNoExecute);
  ASSERT_THAT(Walk({0x1000, 4}), IsOk());
  EXPECT_THAT(
      found_,
      ElementsAre(Mapping{0, 0x10000, 0x2000, {false, true, true}},
                  Mapping{0x2000, 0x20000, 0x1000, {false, true, true}}));
}

TEST_F(PageWalkTest, WritablePagesToWatchedFramesAreTold) {
  Chain(4);
  Entry(0x4000, 0, 0x10000 | 7 | kNoExecute);
  Entry(0x4000, 1, 0x11000 | 7 | kNoExecute);
  Entry(0x4000, 2, 0x11000 | 5 | kNoExecute);  // read-only
  Entry(0x3000, 1, 0x6000 | 5);                // so is all below
  Entry(0x6000, 0, 0x11000 | 7 | kNoExecute);
  Entry(0x3000, 2, 0x6000 | 7);             // the same table, writable
  Entry(0x3000, 3, 0x87 | kNoExecute);      // 2 MiB from 0
  Entry(0x3000, 4, 0x400087 | kNoExecute);  // and from 4 MiB
  const std::vector<memory::AddressRange> watched = {{0x8000, 0x9000},
                                                     {0x11000, 0x12000}};
  ASSERT_THAT(WalkCode(reader_, {0x1000, 4}, 0, UINT64_MAX, watched,
                       [this](const Mapping& mapping) {
                         found_.push_back(mapping);
                         return absl::OkStatus();
                       }),
              IsOk());
  const Access written{true, false, true};
  EXPECT_THAT(found_, ElementsAre(Mapping{0x1000, 0x11000, 0x1000, written},
                                  Mapping{0x400000, 0x11000, 0x1000, written},
                                  Mapping{0x600000, 0, 0x200000, written}));
}

TEST_F(PageWalkTest, CycleEndsAndIsSaid) {
  for (uint64_t i = 0; i < 512; ++i) {
    Entry(0x1000, i, 0x1000 | 7);  // each level is itself
  }
  Limits limits;
  limits.page_tables = 10000;
  const WalkFacts facts = Walk({0x1000, 4}, limits).value();
  EXPECT_FALSE(facts.complete);
  EXPECT_THAT(facts.problems[0], HasSubstr("is used at levels 4 and 3"));
}

TEST_F(PageWalkTest, TablesSharedAtOneLevelAreReadOnce) {
  for (uint64_t i = 0; i < 512; ++i) {  // as espfix does, 512^3 times
    Entry(0x1000, i, 0x2000 | 7);
    Entry(0x2000, i, 0x3000 | 7);
    Entry(0x3000, i, 0x4000 | 7);
    Entry(0x4000, i, 0x5000 | 7 | kNoExecute);
  }
  const WalkFacts facts = Walk({0x1000, 4}).value();
  EXPECT_TRUE(facts.complete);
  EXPECT_EQ(facts.tables, 4U);
  EXPECT_EQ(facts.problem_count, 0U);
}

TEST_F(PageWalkTest, BudgetEndsEverything) {
  for (uint64_t i = 0; i < 512; ++i) {
    Entry(0x1000, i, 0x2000 | 7);
    Entry(0x2000, i, 0x3000 | 7);
    Entry(0x3000, i, 0x4000 | 7);
    Entry(0x4000, i, 0x5000 | 7);  // executable: looked at each time
  }
  Limits limits;
  limits.bytes = 1 << 20;
  EXPECT_THAT(Walk({0x1000, 4}, limits),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(PagingOfTest, MasksContextAndReadsLevels) {
  EXPECT_EQ(PagingOf(0x8000000012345fff, 0x1000).root, 0x12345000U);
  EXPECT_EQ(PagingOf(0, 0x1000).levels, 5);
  EXPECT_EQ(PagingOf(0, 0).levels, 4);
}

}  // namespace
}  // namespace vmattest::linuxguest
