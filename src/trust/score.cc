#include "trust/score.h"

#include <algorithm>

namespace vmattest::trust {
namespace {

constexpr int64_t kMaxPoints = 1'000'000 * kPoint;
constexpr int64_t kMaxTime = int64_t{1} << 40;  // ms; 35 years
constexpr int64_t kMaxElapsed = int64_t{1} << 42;
constexpr uint32_t kMaxVersion = (uint32_t{1} << 31) - 1;
constexpr size_t kMaxWeights = 64;
constexpr size_t kMaxReason = 128;

bool InRange(int64_t value, int64_t least, int64_t most) {
  return value >= least && value <= most;
}

bool AreValidWeights(const ScoreRules& rules) {
  return rules.weights.size() <= kMaxWeights &&
         std::all_of(rules.weights.begin(), rules.weights.end(),
                     [](const auto& weight) {
                       return !weight.first.empty() &&
                              weight.first.size() <= kMaxReason &&
                              InRange(weight.second, 0, kMaxPoints);
                     });
}

}  // namespace

bool AreValid(const ScoreRules& rules) {
  return rules.version > 0 && rules.version <= kMaxVersion &&
         AreValidWeights(rules) && InRange(rules.cap, 0, kMaxPoints) &&
         InRange(rules.floor, 0, rules.cap) &&
         InRange(rules.start, rules.floor, rules.cap) &&
         InRange(rules.pass_credit, 0, kMaxPoints) &&
         InRange(rules.fail_debit, 0, kMaxPoints) &&
         InRange(rules.decay_per_hour, 0, 1'000 * kPoint) &&
         InRange(rules.credit_interval_ms, 0, kMaxTime) &&
         InRange(rules.grace_ms, 1'000, kMaxTime) &&
         InRange(rules.window_ms, 1'000, kMaxTime) &&
         rules.compromise_vms > 0 && rules.compromise_owners > 0 &&
         rules.window_fails > 0 && rules.window_fails <= 255 &&
         InRange(rules.compromise_keeps, 0, 1'000) &&
         InRange(rules.checked, rules.floor, rules.free) &&
         rules.free <= rules.cap;
}

Score StartScore(const ScoreRules& rules, int64_t time_ms) {
  return {.milli = rules.start, .anchor_ms = time_ms};
}

void Decay(const ScoreRules& rules, int64_t time_ms, Score& score) {
  const int64_t elapsed = time_ms - score.anchor_ms;
  if (elapsed <= 0) {
    return;
  }
  score.anchor_ms = time_ms;
  // 2^42 ms (139 years) of 1,000 points an hour fit.
  const int64_t due =
      std::min(elapsed, kMaxElapsed) * rules.decay_per_hour + score.remainder;
  const int64_t lost = due / kHourMs;
  score.remainder = due % kHourMs;
  score.milli = lost >= score.milli - rules.floor
                    ? std::min(score.milli, rules.floor)
                    : score.milli - lost;
}

void Pass(const ScoreRules& rules, int64_t time_ms, Score& score) {
  Decay(rules, time_ms, score);
  if (rules.credit_interval_ms > 0 && score.last_credit_ms != 0 &&
      score.anchor_ms - score.last_credit_ms < rules.credit_interval_ms) {
    return;
  }
  score.milli = std::min(rules.cap, score.milli + rules.pass_credit);
  score.last_credit_ms = score.anchor_ms;
}

void Fail(const ScoreRules& rules, int64_t time_ms, int64_t debit,
          Score& score) {
  Decay(rules, time_ms, score);
  score.milli = std::max(rules.floor, score.milli - debit);
  // The way back begins with a whole interval.
  if (rules.credit_interval_ms > 0) {
    score.last_credit_ms = score.anchor_ms;
  }
}

void Compromise(const ScoreRules& rules, int64_t time_ms, Score& score) {
  Decay(rules, time_ms, score);
  score.milli =
      std::max(rules.floor, score.milli * rules.compromise_keeps / 1'000);
}

int64_t ScoreAt(const ScoreRules& rules, const Score& score, int64_t time_ms) {
  Score then = score;
  Decay(rules, time_ms, then);
  return then.milli;
}

Band BandOf(const ScoreRules& rules, int64_t milli) {
  if (milli > rules.free) {
    return Band::kFree;
  }
  return milli > rules.checked ? Band::kChecked : Band::kBlocked;
}

std::string_view ToString(Band band) {
  switch (band) {
    case Band::kBlocked:
      return "blocked";
    case Band::kChecked:
      return "checked";
    case Band::kFree:
      return "free";
  }
  return "unknown";
}

}  // namespace vmattest::trust
