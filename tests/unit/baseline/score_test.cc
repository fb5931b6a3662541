#include "baseline/score.h"

#include <gmock/gmock.h>

#include <random>

namespace vmattest::baseline {
namespace {

using snapshot::Severity;

Difference Of(Severity severity, uint64_t extent, std::string group = "g") {
  Difference difference;
  difference.severity = severity;
  difference.extent = extent;
  difference.group = std::move(group);
  return difference;
}

uint32_t ScoreOf(const std::vector<Difference>& differences) {
  return Score(differences);
}

// The examples of docs/memory.md.
TEST(ScoreTest, ExamplesOfTheManual) {
  EXPECT_EQ(ScoreOf({}), 100U);
  EXPECT_EQ(ScoreOf({Of(Severity::kInfo, 5'000)}), 100U);
  EXPECT_EQ(ScoreOf({Of(Severity::kCritical, 1)}), 50U);
  EXPECT_EQ(ScoreOf({Of(Severity::kHigh, 1)}), 80U);
  EXPECT_EQ(ScoreOf({Of(Severity::kHigh, 3)}), 60U);
  EXPECT_EQ(ScoreOf({Of(Severity::kMedium, 1), Of(Severity::kLow, 1, "h")}),
            90U);
  EXPECT_EQ(ScoreOf({Of(Severity::kLow, 1'000)}), 80U);
  EXPECT_EQ(ScoreOf({Of(Severity::kCritical, 1), Of(Severity::kCritical, 1)}),
            0U);
}

TEST(ScoreTest, StepsGrowWithDoubling) {
  EXPECT_EQ(Steps(0), 0U);
  EXPECT_EQ(Steps(1), 1U);
  EXPECT_EQ(Steps(2), 2U);
  EXPECT_EQ(Steps(1023), 10U);
  EXPECT_EQ(Steps(1024), 11U);
  EXPECT_EQ(Steps(~uint64_t{0}), 64U);
}

std::vector<Difference> Random(std::mt19937_64& random) {
  std::vector<Difference> all;
  for (uint64_t i = 0; i < random() % 8; ++i) {
    all.push_back(Of(static_cast<Severity>(random() % 5),
                     (random() >> (random() % 64)),
                     std::string(1, static_cast<char>('a' + random() % 3))));
  }
  return all;
}

TEST(ScoreTest, IsBoundedAndNeverRisesByWorse) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Difference> all = Random(random);
    const uint32_t score = Score(all);
    ASSERT_LE(score, 100U);
    std::vector<Difference> more = all;
    more.push_back(Of(static_cast<Severity>(random() % 5), random() % 100,
                      std::string(1, static_cast<char>('a' + random() % 3))));
    ASSERT_LE(Score(more), score);
    if (all.empty()) {
      continue;
    }
    std::vector<Difference> larger = all;
    Difference& one = larger[random() % larger.size()];
    one.extent += std::min<uint64_t>(random() % 1000, ~one.extent);
    ASSERT_LE(Score(larger), score);
    std::vector<Difference> graver = all;
    Difference& other = graver[random() % graver.size()];
    if (other.severity != Severity::kCritical) {
      other.severity =
          static_cast<Severity>(static_cast<int>(other.severity) + 1);
    }
    ASSERT_LE(Score(graver), score);
  }
}

TEST(ScoreTest, OrderDoesNotMatter) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<Difference> all = Random(random);
    const uint32_t score = Score(all);
    std::shuffle(all.begin(), all.end(), random);
    ASSERT_EQ(Score(all), score);
  }
}

}  // namespace
}  // namespace vmattest::baseline
