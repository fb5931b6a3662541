#ifndef VMATTEST_TRUST_SCORE_H_
#define VMATTEST_TRUST_SCORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

// The trust score of one VM as arithmetic over events. Integer milli-points
// and milliseconds of ledger time, so that everybody who replays a ledger gets
// the same number. Pure; callable from any thread. docs/ledger.md has the
// rules in words.

namespace vmattest::trust {

inline constexpr int64_t kPoint = 1'000;
inline constexpr int64_t kHourMs = 3'600'000;
inline constexpr std::string_view kSilence = "silence";

// The parameters of a version of the score. They are on the ledger (a policy
// entry), so a replay knows which held when.
struct ScoreRules {
  uint32_t version = 1;
  int64_t start = 100 * kPoint;
  int64_t cap = 100 * kPoint;
  int64_t floor = 0;
  int64_t pass_credit = 5 * kPoint;
  int64_t fail_debit = 20 * kPoint;
  int64_t decay_per_hour = 1 * kPoint;
  // The credit is given at most once in so long; 0: at every pass.
  int64_t credit_interval_ms = 0;
  // A running VM that nobody reports on fails after so long, and again after
  // each further one.
  int64_t grace_ms = 60'000;
  // Rule S32: a host is compromised when at least this many of its VMs, or
  // half of them, of at least so many owners, had their last `window_fails`
  // results all failed within the window.
  uint32_t compromise_vms = 3;
  uint32_t compromise_owners = 2;
  uint32_t window_fails = 2;
  int64_t window_ms = 300'000;
  // What is left of the score of each of its VMs, in thousandths.
  int64_t compromise_keeps = 500;
  // Above `free`: may go to any host. Above `checked`: with more checks. A
  // score that equals a threshold is below it.
  int64_t free = 75 * kPoint;
  int64_t checked = 50 * kPoint;
  // By reason code, what takes another debit than `fail_debit`; kSilence: when
  // nobody reports.
  std::map<std::string, int64_t, std::less<>> weights;
  [[nodiscard]] int64_t DebitOf(std::string_view reason) const {
    const auto it = weights.find(reason);
    return it == weights.end() ? fail_debit : it->second;
  }
  friend bool operator==(const ScoreRules&, const ScoreRules&) = default;
};
// Document 002's figures.
inline ScoreRules RulesV1() { return {}; }
// Credit at most once in five minutes: a VM that failed is not back at once.
inline ScoreRules RulesV2() {
  ScoreRules rules;
  rules.version = 2;
  rules.credit_interval_ms = 300'000;
  return rules;
}
// Whether these numbers make sense: bounds, nothing that overflows.
bool AreValid(const ScoreRules& rules);

// A score as of `anchor_ms`. Time that decayed no whole milli-point yet is
// `remainder` (in ms × decay per hour), so that frequent events cannot dodge
// decay.
struct Score {
  int64_t milli = 0;
  int64_t anchor_ms = 0;
  int64_t remainder = 0;
  int64_t last_credit_ms = 0;  // 0: never
  friend bool operator==(const Score&, const Score&) = default;
};

Score StartScore(const ScoreRules& rules, int64_t time_ms);
// Each moves the score to `time_ms` first (a time before the anchor counts as
// the anchor: ledger time does not go back).
void Decay(const ScoreRules& rules, int64_t time_ms, Score& score);
void Pass(const ScoreRules& rules, int64_t time_ms, Score& score);
// `debit`: what rules.DebitOf() says of the reason.
void Fail(const ScoreRules& rules, int64_t time_ms, int64_t debit,
          Score& score);
void Compromise(const ScoreRules& rules, int64_t time_ms, Score& score);

// What the score is worth at `time_ms`, in milli-points.
[[nodiscard]] int64_t ScoreAt(const ScoreRules& rules, const Score& score,
                              int64_t time_ms);

enum class Band : uint8_t { kBlocked, kChecked, kFree };
[[nodiscard]] Band BandOf(const ScoreRules& rules, int64_t milli);
std::string_view ToString(Band band);  // "blocked", "checked", "free"

}  // namespace vmattest::trust

#endif  // VMATTEST_TRUST_SCORE_H_
