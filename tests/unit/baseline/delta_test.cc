#include "baseline/delta.h"

#include <gmock/gmock.h>

#include <random>

#include "support/made_snapshot.h"
#include "support/matchers.h"

namespace vmattest::baseline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr uint64_t kPagesOf2GiB = 524'288;

MadeSnapshot Made(uint64_t pages) {
  MadeSnapshot made;
  made.AddRegion("ram", pages);
  made.Seal();
  return made;
}

TEST(DigestTreeTest, IsTheTreeOfSnapshotsForEverySize) {
  for (const uint64_t pages : {0, 1, 255, 256, 257, 513, 1281, 5000}) {
    const MadeSnapshot made = Made(pages);
    const DigestTree tree(MadeSnapshot::kAlgorithm,
                          made.pages.regions[0].digests);
    EXPECT_EQ(tree.Root(), made.statement.regions[0].root) << pages;
    EXPECT_EQ(tree.RootWith({}), tree.Root());
  }
}

TEST(DigestTreeTest, RootWithIsTheRootOfTheChangedTree) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 40; ++round) {
    const uint64_t pages = 1 + random() % 4000;
    MadeSnapshot made = Made(pages);
    const DigestTree before(MadeSnapshot::kAlgorithm,
                            made.pages.regions[0].digests);
    const DigestBytes other = MadeSnapshot::DigestOf(~0ULL);
    DigestTree::Changes changes;
    for (uint64_t i = 0; i < 1 + random() % 20; ++i) {
      const uint64_t page = random() % pages;
      made.ChangePage(0, page);
      changes.emplace(page, other);
    }
    made.Seal();
    EXPECT_EQ(before.RootWith(changes), made.statement.regions[0].root)
        << pages;
  }
}

TEST(DeltaTest, OnePageOf2GiBMovesAFewKilobytes) {
  MadeSnapshot now = Made(kPagesOf2GiB);
  const auto baseline = now.Load();
  now.ChangePage(0, 300'001);
  now.Seal();
  LocalNodes nodes(*baseline);
  const auto delta = MakeDelta(baseline->baseline(), now.statement, now.pages,
                               nodes, kShortPrefix);
  ASSERT_THAT(delta, IsOk());
  const size_t moved = nodes.bytes + EncodeDelta(*delta).size();
  EXPECT_LT(moved, 4096U);
  EXPECT_LE(nodes.calls, 4U);
  RecordProperty("bytes", static_cast<int>(moved));
  const Applied applied = ApplyDelta(*baseline, now.statement, *delta);
  EXPECT_FALSE(applied.refused);
  ASSERT_THAT(applied.regions, SizeIs(1));
  EXPECT_THAT(applied.regions[0].pages, ElementsAre(300'001));
}

TEST(DeltaTest, FindsWhateverChanged) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 30; ++round) {
    const uint64_t pages = 1 + random() % 3000;
    MadeSnapshot now = Made(pages);
    const auto baseline = now.Load();
    std::set<uint64_t> changed;
    for (uint64_t i = 0; i < random() % 50; ++i) {
      changed.insert(random() % pages);
    }
    for (const uint64_t page : changed) {
      now.ChangePage(0, page, 1'000'000 + page);
    }
    now.Seal();
    const Delta delta =
        DeltaOf(*baseline, now, round % 2 == 0 ? 0 : kShortPrefix);
    const auto parsed = ParseDelta(EncodeDelta(delta));
    ASSERT_THAT(parsed, IsOk());
    const Applied applied = ApplyDelta(*baseline, now.statement, *parsed);
    ASSERT_FALSE(applied.refused);
    std::vector<uint64_t> found;
    if (!applied.regions.empty()) {
      found = applied.regions[0].pages;
    }
    EXPECT_EQ(found, std::vector<uint64_t>(changed.begin(), changed.end()));
  }
}

TEST(DeltaTest, WhatIsNotProvedIsRefused) {
  MadeSnapshot now = Made(1000);
  const auto baseline = now.Load();
  now.ChangePage(0, 3);
  now.ChangePage(0, 700);
  now.Seal();
  const Delta honest = DeltaOf(*baseline, now);
  ASSERT_FALSE(ApplyDelta(*baseline, now.statement, honest).refused);
  const auto refused = [&](auto change) {
    Delta delta = honest;
    change(delta);
    const Applied applied = ApplyDelta(*baseline, now.statement, delta);
    EXPECT_TRUE(applied.refused);
    if (applied.refused) {
      EXPECT_EQ(applied.refused->code, "delta-unproved");
    }
  };
  refused([](Delta& d) { d.regions.clear(); });
  refused([](Delta& d) { d.regions[0].runs.pop_back(); });
  refused([](Delta& d) { d.regions[0].runs[0].digests[0] ^= 1; });
  refused([](Delta& d) { d.regions[0].runs[0].digests.pop_back(); });
  refused([](Delta& d) { d.regions[0].runs[0].first = 4; });
  refused([](Delta& d) { d.regions[0].runs[1].first = ~0ULL; });
  refused([](Delta& d) { d.regions[0].runs[1].first = 1000; });
  refused(
      [](Delta& d) { std::swap(d.regions[0].runs[0], d.regions[0].runs[1]); });
  refused([](Delta& d) { d.regions.push_back(d.regions[0]); });
  refused([](Delta& d) { d.regions[0].name = "other"; });
}

TEST(DeltaTest, PagesThatAreTheSameDoNotCountAsChanged) {
  MadeSnapshot now = Made(100);
  const auto baseline = now.Load();
  Delta padded;
  padded.regions = {
      {"ram", {{0, now.pages.regions[0].digests}}, false, {}, {}}};
  const Applied applied = ApplyDelta(*baseline, now.statement, padded);
  EXPECT_FALSE(applied.refused);
  EXPECT_THAT(applied.regions, IsEmpty());
}

TEST(DeltaTest, ARegionThatMovedIsProvedWhole) {
  MadeSnapshot before = Made(100);
  const auto baseline = before.Load();
  MadeSnapshot now;
  now.AddRegion("ram", 120, 0x200000);
  now.Seal();
  const Delta honest = DeltaOf(*baseline, now);
  ASSERT_TRUE(honest.regions[0].moved);
  const Applied applied = ApplyDelta(*baseline, now.statement, honest);
  EXPECT_FALSE(applied.refused);
  ASSERT_THAT(applied.regions, SizeIs(1));
  EXPECT_TRUE(applied.regions[0].moved);
  Delta forged = honest;
  forged.regions[0].ranges[0].begin = 0x1000;
  EXPECT_TRUE(ApplyDelta(*baseline, now.statement, forged).refused);
  forged = honest;
  forged.regions[0].parts = {{.name = "x", .first_page = 119, .pages = 2}};
  EXPECT_TRUE(ApplyDelta(*baseline, now.statement, forged).refused);
  forged = honest;
  forged.regions[0].moved = false;
  EXPECT_TRUE(ApplyDelta(*baseline, now.statement, forged).refused);
}

TEST(DeltaTest, SymbolsDoNotTravel) {
  MadeSnapshot before = Made(1);
  before.pages.regions[0].parts = {{.name = "kernel/text",
                                    .content = "text",
                                    .address = 0xffffffff81000000,
                                    .size = 4096,
                                    .first_page = 0,
                                    .pages = 1}};
  before.Seal();
  MadeSnapshot now = before;
  now.pages.regions[0].ranges[0].begin += 0x100000;
  now.pages.regions[0].ranges[0].end += 0x100000;
  now.pages.regions[0].parts[0].symbols = {{0, "_text"}};
  now.Seal();
  const Delta delta = DeltaOf(*before.Load(), now);
  ASSERT_EQ(delta.regions.size(), 1U);
  const absl::StatusOr<Delta> read = ParseDelta(EncodeDelta(delta));
  ASSERT_THAT(read, IsOk());
  EXPECT_TRUE(read->regions[0].parts[0].symbols.empty());
}

TEST(DeltaTest, RecordsAreProvedToo) {
  MadeSnapshot before;
  before.pages.records = {{"a", "1"}, {"c", "3"}, {"d", "4"}};
  before.AddRegion("ram", 1);
  before.Seal();
  const auto baseline = before.Load();
  MadeSnapshot now = before;
  now.pages.records = {{"b", "2"}, {"c", "x"}, {"d", "4"}};
  now.Seal();
  const Delta honest = DeltaOf(*baseline, now);
  EXPECT_THAT(honest.records, SizeIs(3));
  const Applied applied = ApplyDelta(*baseline, now.statement, honest);
  EXPECT_FALSE(applied.refused);
  EXPECT_EQ(applied.records, now.pages.records);
  for (size_t i = 0; i < honest.records.size(); ++i) {
    Delta forged = honest;
    forged.records.erase(forged.records.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_TRUE(ApplyDelta(*baseline, now.statement, forged).refused) << i;
  }
  Delta unordered = honest;
  std::swap(unordered.records[0], unordered.records[1]);
  EXPECT_TRUE(ApplyDelta(*baseline, now.statement, unordered).refused);
}

TEST(DeltaTest, OfAnotherRunPagesAreNotCompared) {
  MadeSnapshot before = Made(100);
  before.statement.run = "7";
  before.Seal();
  const auto baseline = before.Load();
  MadeSnapshot now = before;
  now.statement.run = "8";
  now.ChangePage(0, 1);
  now.Seal();
  const Delta delta = DeltaOf(*baseline, now);
  EXPECT_THAT(delta.regions, IsEmpty());
  const Applied applied = ApplyDelta(*baseline, now.statement, delta);
  EXPECT_FALSE(applied.refused);
  EXPECT_THAT(applied.regions, IsEmpty());
}

TEST(DeltaTest, AnAlikePrefixMakesADeltaThatIsRefused) {
  MadeSnapshot now = Made(10);
  const auto baseline = now.Load();
  // As if SHA-256 had been broken that far.
  now.pages.regions[0].digests[5 * 32 + 31] ^= 1;
  now.Seal();
  EXPECT_TRUE(
      ApplyDelta(*baseline, now.statement, DeltaOf(*baseline, now)).refused);
  EXPECT_FALSE(
      ApplyDelta(*baseline, now.statement, DeltaOf(*baseline, now, 0)).refused);
}

TEST(ReadNodesTest, GivesNothingThatIsNotThere) {
  const auto baseline = Made(1000).Load();
  EXPECT_THAT(ReadNodes(*baseline, "ram", {{0, 999, 2}}, 0),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("ram")));
  EXPECT_THAT(ReadNodes(*baseline, "ram", {{9, 0, 1}}, 0),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("level 9")));
  EXPECT_THAT(ReadNodes(*baseline, "no", {{0, 0, 1}}, 0),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no")));
  const std::vector<NodeRange> many(66, {0, 0, 1000});
  EXPECT_THAT(ReadNodes(*baseline, "ram", many, 8),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("65536")));
}

class LyingNodes final : public NodeSource {
 public:
  absl::StatusOr<Bytes> Nodes(const std::string& /*region*/,
                              const std::vector<NodeRange>& /*ranges*/,
                              uint32_t /*prefix*/) override {
    return Bytes(7);
  }
  absl::StatusOr<std::vector<evidence::StateRecord>> Records() override {
    return absl::UnavailableError("away");
  }
};

TEST(MakeDeltaTest, AnAnswerToSomethingElseIsAnError) {
  MadeSnapshot now = Made(1000);
  const Baseline baseline = now.ToBaseline();
  now.ChangePage(0, 1);
  now.Seal();
  LyingNodes nodes;
  EXPECT_THAT(MakeDelta(baseline, now.statement, now.pages, nodes, 8),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("7 bytes")));
}

}  // namespace
}  // namespace vmattest::baseline
