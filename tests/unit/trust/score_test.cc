#include "trust/score.h"

#include <random>

#include "gmock/gmock.h"

namespace vmattest::trust {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

TEST(Score, StartsAtAHundredAndPassesDoNotExceedIt) {
  const ScoreRules rules = RulesV1();
  Score score = StartScore(rules, kNow);
  EXPECT_EQ(ScoreAt(rules, score, kNow), 100'000);
  Pass(rules, kNow, score);
  EXPECT_EQ(ScoreAt(rules, score, kNow), 100'000);
}

TEST(Score, FailuresCostTwentyAndPassesGiveFive) {
  const ScoreRules rules = RulesV1();
  Score score = StartScore(rules, kNow);
  Fail(rules, kNow, rules.fail_debit, score);
  EXPECT_EQ(score.milli, 80'000);
  Pass(rules, kNow, score);
  EXPECT_EQ(score.milli, 85'000);
  for (int i = 0; i < 10; ++i) {
    Fail(rules, kNow, rules.fail_debit, score);
  }
  EXPECT_EQ(score.milli, 0);
  Pass(rules, kNow, score);
  EXPECT_EQ(score.milli, 5'000);
}

TEST(Score, FallsByAPointAnHourContinuously) {
  const ScoreRules rules = RulesV1();
  const Score score = StartScore(rules, kNow);
  EXPECT_EQ(ScoreAt(rules, score, kNow + 3'599), 100'000);
  EXPECT_EQ(ScoreAt(rules, score, kNow + 3'600), 99'999);
  EXPECT_EQ(ScoreAt(rules, score, kNow + kHourMs), 99'000);
  EXPECT_EQ(ScoreAt(rules, score, kNow + 30 * kHourMs), 70'000);
  EXPECT_EQ(ScoreAt(rules, score, kNow + 1'000 * kHourMs), 0);
  EXPECT_EQ(ScoreAt(rules, score, kNow - kHourMs), 100'000);
}

// However often somebody looks or an event comes, an hour costs a point.
TEST(Score, FrequentEventsDoNotDodgeDecay) {
  ScoreRules rules = RulesV1();
  rules.pass_credit = 0;
  Score often = StartScore(rules, kNow);
  for (int64_t time = 0; time <= 5 * kHourMs; time += 1'037) {
    Pass(rules, kNow + time, often);
  }
  EXPECT_EQ(ScoreAt(rules, often, kNow + 5 * kHourMs), 95'000);
}

TEST(Score, HalvesOnCompromise) {
  const ScoreRules rules = RulesV1();
  Score score = StartScore(rules, kNow);
  Compromise(rules, kNow, score);
  EXPECT_EQ(score.milli, 50'000);
}

TEST(Score, AThresholdItselfIsBelowIt) {
  const ScoreRules rules = RulesV1();
  EXPECT_EQ(BandOf(rules, 75'001), Band::kFree);
  EXPECT_EQ(BandOf(rules, 75'000), Band::kChecked);
  EXPECT_EQ(BandOf(rules, 50'001), Band::kChecked);
  EXPECT_EQ(BandOf(rules, 50'000), Band::kBlocked);
  EXPECT_EQ(BandOf(rules, 0), Band::kBlocked);
}

TEST(Score, VersionTwoGivesCreditOncePerInterval) {
  const ScoreRules rules = RulesV2();
  Score score = StartScore(rules, kNow);
  for (int i = 0; i < 3; ++i) {
    Fail(rules, kNow, rules.fail_debit, score);
  }
  for (int64_t time = 0; time < 300'000; time += 5'000) {
    Pass(rules, kNow + time, score);
  }
  EXPECT_LE(ScoreAt(rules, score, kNow + 299'999), 40'000);
  Pass(rules, kNow + 300'000, score);
  EXPECT_EQ(score.milli, 45'000 - 83);
  Pass(rules, kNow + 305'000, score);
  EXPECT_LT(score.milli, 45'000);
}

TEST(Score, RefusesRulesThatMakeNoSense) {
  EXPECT_TRUE(AreValid(RulesV1()));
  EXPECT_TRUE(AreValid(RulesV2()));
  for (void (*spoil)(ScoreRules&) : {
           +[](ScoreRules& rules) { rules.version = 0; },
           +[](ScoreRules& rules) { rules.cap = -1; },
           +[](ScoreRules& rules) { rules.start = rules.cap + 1; },
           +[](ScoreRules& rules) { rules.pass_credit = INT64_MAX; },
           +[](ScoreRules& rules) { rules.grace_ms = 0; },
           +[](ScoreRules& rules) { rules.window_fails = 0; },
           +[](ScoreRules& rules) { rules.free = rules.checked - 1; },
           +[](ScoreRules& rules) { rules.compromise_keeps = 1'001; },
           +[](ScoreRules& rules) { rules.version = uint32_t{1} << 31; },
           +[](ScoreRules& rules) { rules.weights["code-modified"] = -1; },
           +[](ScoreRules& rules) { rules.weights[""] = 1; },
           +[](ScoreRules& rules) {
             for (int i = 0; i < 65; ++i) {
               rules.weights[std::string(1 + i, 'r')] = 1;
             }
           },
       }) {
    ScoreRules rules = RulesV1();
    spoil(rules);
    EXPECT_FALSE(AreValid(rules));
  }
}

TEST(Score, StaysWithinItsBoundsWhateverHappens) {
  std::mt19937 random(7);
  for (const ScoreRules& rules : {RulesV1(), RulesV2()}) {
    Score score = StartScore(rules, kNow);
    int64_t time = kNow;
    for (int i = 0; i < 20'000; ++i) {
      time += static_cast<int64_t>(random() % 7'200'000);
      switch (random() % 4) {
        case 0:
          Fail(rules, time, rules.fail_debit, score);
          break;
        case 1:
          Compromise(rules, time, score);
          break;
        default:
          Pass(rules, time, score);
      }
      ASSERT_GE(score.milli, rules.floor);
      ASSERT_LE(score.milli, rules.cap);
      ASSERT_LT(score.remainder, kHourMs);
    }
  }
}

}  // namespace
}  // namespace vmattest::trust
