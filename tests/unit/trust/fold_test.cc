#include "trust/fold.h"

#include <functional>
#include <random>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "trust/state_codec.h"

namespace vmattest::trust {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;
using Change = Fold::Change;

constexpr int64_t kNow = 1'700'000'000'000;

Uuid Vm(uint8_t number) {
  Uuid id;
  id.bytes[15] = number;
  return id;
}

// Commits in order; everything is witnessed at once unless a test says not.
class FoldTest : public ::testing::Test {
 protected:
  At Next(int64_t later_ms = 0) {
    time_ += later_ms;
    return {.index = index_++, .time_ms = time_};
  }
  void AddVm(uint8_t number, const std::string& owner,
             const std::string& host = "h1") {
    fold_.Register(Next(), Vm(number), owner);
    fold_.Start(Next(), Vm(number), host);
  }
  void Witness() { fold_.Witnessed(index_); }
  int64_t Milli(uint8_t number) { return fold_.Read(Vm(number), time_)->milli; }

  Fold fold_;
  uint64_t tick_ = 0;
  uint64_t index_ = 0;
  int64_t time_ = kNow;
};

TEST_F(FoldTest, AVmThatNobodyRegisteredIsUnknown) {
  EXPECT_EQ(fold_.Read(Vm(1), kNow), std::nullopt);
  fold_.Result(Next(), Vm(1), true);
  EXPECT_EQ(fold_.Read(Vm(1), kNow), std::nullopt);
}

TEST_F(FoldTest, OnlyWitnessedPassesRaise) {
  AddVm(1, "a");
  fold_.Result(Next(), Vm(1), false);
  Witness();
  EXPECT_EQ(Milli(1), 80'000);
  fold_.Result(Next(), Vm(1), true);
  EXPECT_EQ(Milli(1), 80'000);
  EXPECT_EQ(fold_.Read(Vm(1), time_)->unwitnessed, 1u);
  Witness();
  EXPECT_EQ(Milli(1), 85'000);
}

TEST_F(FoldTest, AReasonMayWeighMoreThanOthersFromThePolicyOn) {
  AddVm(1, "a");
  AddVm(2, "a");
  fold_.Result(Next(), Vm(1), false, "code-modified");
  ScoreRules rules = RulesV1();
  rules.weights = {{"code-modified", 60 * kPoint},
                   {std::string(kSilence), 7 * kPoint}};
  fold_.SetRules(Next(), rules);
  EXPECT_EQ(Milli(1), 80'000);
  fold_.Result(Next(), Vm(1), false, "code-modified");
  EXPECT_EQ(Milli(1), 20'000);
  fold_.Result(Next(), Vm(2), false, "cmdline");
  EXPECT_EQ(Milli(2), 80'000);
  fold_.Tick(
      Next(), "h1",
      {{.vm = Vm(2), .change = Change::kFail, .reason = "code-modified"}},
      ++tick_);
  EXPECT_EQ(Milli(2), 20'000);
  Witness();
  EXPECT_EQ(Milli(2), 20'000);
  time_ += rules.grace_ms;
  EXPECT_EQ(Milli(2), 13'000 - rules.grace_ms * rules.decay_per_hour / kHourMs);
}

TEST_F(FoldTest, WeightsOutliveAStateThatIsKept) {
  ScoreRules rules = RulesV1();
  rules.weights = {{"a", 1}, {"b", 2 * kPoint}};
  AddVm(1, "a");
  fold_.SetRules(Next(), rules);
  fold_.Result(Next(), Vm(1), false, "b");
  Fold again;
  for (const auto& [key, value] : fold_.TakeDirty()) {
    ASSERT_THAT(again.Restore(key, value), IsOk());
  }
  EXPECT_EQ(again.rules(), rules);
  EXPECT_EQ(again.Read(Vm(1), time_)->milli, 98'000);
}

TEST_F(FoldTest, FailuresCountWhenCommitted) {
  AddVm(1, "a");
  fold_.Result(Next(), Vm(1), false);
  EXPECT_EQ(Milli(1), 80'000);
  Witness();
  EXPECT_EQ(Milli(1), 80'000);
}

TEST_F(FoldTest, ATickPassesAllThatItDoesNotName) {
  for (uint8_t vm = 1; vm <= 3; ++vm) {
    AddVm(vm, "a");
    fold_.Result(Next(), Vm(vm), false);
  }
  EXPECT_THAT(fold_.Passing("h1", time_), IsEmpty());
  fold_.Tick(Next(1'000), "h1",
             {{Vm(1), Change::kPass}, {Vm(2), Change::kPass}}, ++tick_);
  EXPECT_THAT(fold_.Passing("h1", time_), ElementsAre(Vm(1), Vm(2)));
  fold_.Tick(Next(1'000), "h1", {{Vm(2), Change::kFail}}, ++tick_);
  fold_.Tick(Next(1'000), "h1", {}, ++tick_);
  Witness();
  EXPECT_EQ(fold_.FindVm(Vm(1))->passes, 3u);
  EXPECT_EQ(fold_.FindVm(Vm(2))->passes, 1u);
  EXPECT_EQ(fold_.FindVm(Vm(3))->passes, 0u);
  EXPECT_EQ(Milli(1), 95'000);
  EXPECT_EQ(Milli(2), 65'000);
  EXPECT_EQ(Milli(3), 80'000);
}

TEST_F(FoldTest, SilenceCountsAsFailureAfterTheGrace) {
  AddVm(1, "a");
  Witness();
  EXPECT_EQ(fold_.Read(Vm(1), kNow + 59'999)->milli, 99'984);
  EXPECT_EQ(fold_.Read(Vm(1), kNow + 60'000)->milli, 79'984);
  EXPECT_EQ(fold_.Read(Vm(1), kNow + 180'000)->silences, 3u);
  EXPECT_EQ(fold_.Read(Vm(1), kNow + 1'000 * kHourMs)->milli, 0);
  // A VM that stopped says nothing and may.
  fold_.Tick(Next(1'000), "h1", {{Vm(1), Change::kStop}}, ++tick_);
  EXPECT_GT(fold_.Read(Vm(1), kNow + kHourMs)->milli, 98'000);
}

TEST_F(FoldTest, ATickAfterSilenceIsNoPassAsBefore) {
  AddVm(1, "a");
  fold_.Tick(Next(1'000), "h1", {}, ++tick_);
  fold_.Tick(Next(100'000), "h1", {}, ++tick_);
  Witness();
  EXPECT_TRUE(fold_.FindVm(Vm(1))->running);
  EXPECT_EQ(fold_.FindVm(Vm(1))->passes, 1u);
  EXPECT_LT(Milli(1), 81'000);
}

TEST_F(FoldTest, OneOwnersVmsDoNotFlagAHost) {
  for (uint8_t vm = 1; vm <= 5; ++vm) {
    AddVm(vm, "mallory");
  }
  AddVm(6, "alice");
  for (int round = 0; round < 5; ++round) {
    for (uint8_t vm = 1; vm <= 5; ++vm) {
      fold_.Result(Next(10), Vm(vm), false);
    }
  }
  EXPECT_FALSE(fold_.Read(Vm(6), time_)->host_compromised);
}

TEST_F(FoldTest, FailuresOfTwoOwnersFlagTheHostAndHalveAllOnIt) {
  for (uint8_t vm = 1; vm <= 8; ++vm) {
    AddVm(vm, vm % 2 == 0 ? "alice" : "bob");
  }
  AddVm(9, "carol", "h2");
  for (int round = 0; round < 2; ++round) {
    for (uint8_t vm = 1; vm <= 3; ++vm) {
      EXPECT_FALSE(fold_.Read(Vm(8), time_)->host_compromised);
      fold_.Result(Next(), Vm(vm), false);
    }
  }
  EXPECT_TRUE(fold_.Read(Vm(8), time_)->host_compromised);
  EXPECT_EQ(Milli(8), 50'000);
  EXPECT_EQ(Milli(1), 30'000);
  EXPECT_EQ(Milli(9), 100'000);
  // What it says from now on raises nobody.
  fold_.Tick(Next(1'000), "h1", {}, ++tick_);
  Witness();
  EXPECT_EQ(Milli(8), 50'000);
  fold_.Clear(Next(), "h1");
  fold_.Tick(Next(), "h1", {}, ++tick_);
  Witness();
  EXPECT_EQ(Milli(8), 55'000);
}

TEST_F(FoldTest, FailuresOutsideTheWindowDoNotFlag) {
  for (uint8_t vm = 1; vm <= 3; ++vm) {
    AddVm(vm, fmt::format("owner{}", vm));
  }
  for (int round = 0; round < 2; ++round) {
    for (uint8_t vm = 1; vm <= 3; ++vm) {
      fold_.Result(Next(), Vm(vm), false);
    }
    time_ += 400'000;
  }
  EXPECT_FALSE(fold_.Read(Vm(1), time_)->host_compromised);
}

TEST_F(FoldTest, RegisteringAgainKeepsTheScore) {
  AddVm(1, "a");
  fold_.Result(Next(), Vm(1), false);
  fold_.Register(Next(), Vm(1), "b");
  EXPECT_EQ(Milli(1), 80'000);
  EXPECT_EQ(fold_.FindVm(Vm(1))->owner, "b");
}

TEST_F(FoldTest, MovingTakesTheScoreAlongAndCountsTheEpoch) {
  AddVm(1, "a");
  fold_.Result(Next(), Vm(1), false);
  const uint64_t epoch = fold_.FindVm(Vm(1))->epoch;
  fold_.Leave(Next(), Vm(1), "h2");
  EXPECT_EQ(fold_.FindVm(Vm(1))->leaving_to, "h2");
  fold_.Arrive(Next(), Vm(1), "h2");
  EXPECT_EQ(fold_.FindVm(Vm(1))->host, "h2");
  EXPECT_EQ(fold_.FindVm(Vm(1))->epoch, epoch + 1);
  EXPECT_EQ(Milli(1), 80'000);
  EXPECT_THAT(fold_.VmsOf("h1"), IsEmpty());
  EXPECT_THAT(fold_.VmsOf("h2"), SizeIs(1));
}

TEST_F(FoldTest, ReaderWhoseClockIsBehindSeesNoOlderScore) {
  AddVm(1, "a");
  fold_.Result(Next(2 * kHourMs), Vm(1), true);
  EXPECT_EQ(fold_.Read(Vm(1), kNow)->milli, fold_.Read(Vm(1), time_)->milli);
}

// A random history, as calls that can be made again.
std::vector<std::function<void(Fold&)>> History(uint32_t seed, size_t length) {
  std::mt19937 random(seed);
  std::vector<std::function<void(Fold&)>> calls;
  At at{.index = 0, .time_ms = kNow};
  for (uint8_t vm = 1; vm <= 6; ++vm) {
    at.index = calls.size();
    calls.push_back([=](Fold& fold) {
      fold.Register(at, Vm(vm), vm % 2 == 0 ? "a" : "b");
    });
  }
  while (calls.size() < length) {
    at.index = calls.size();
    at.time_ms += static_cast<int64_t>(random() % 20'000);
    const Uuid vm = Vm(static_cast<uint8_t>(1 + random() % 6));
    const std::string host = random() % 2 == 0 ? "h1" : "h2";
    const bool pass = random() % 3 != 0;
    switch (random() % 10) {
      case 0:
        calls.push_back([=](Fold& fold) { fold.Start(at, vm, host); });
        break;
      case 1:
        calls.push_back([=](Fold& fold) {
          fold.Leave(at, vm, host);
          fold.Arrive(at, vm, host);
        });
        break;
      case 2:
      case 3:
        calls.push_back([=](Fold& fold) { fold.Result(at, vm, pass); });
        break;
      case 4:
        calls.push_back([=](Fold& fold) { fold.Clear(at, host); });
        break;
      case 5:
        calls.push_back([=](Fold& fold) {
          fold.SetRules(at, pass ? RulesV1() : RulesV2());
        });
        break;
      default:
        calls.push_back([=](Fold& fold) {
          fold.Tick(at, host,
                    {{vm, pass ? Fold::Change::kPass : Fold::Change::kFail}},
                    at.index);
        });
    }
  }
  return calls;
}

// However the fold came about (all at once, witnessed in any steps, stored and
// loaded in between), its canonical state is the recomputation's.
TEST(Fold, IncrementalStateIsTheRecomputation) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const auto history = History(seed, 400);
    Fold whole;
    for (const auto& call : history) {
      call(whole);
    }
    std::mt19937 random(seed);
    auto fold = std::make_unique<Fold>();
    std::map<std::string, Bytes> cache;
    uint64_t done = 0;
    for (const auto& call : history) {
      call(*fold);
      ++done;
      if (random() % 5 == 0) {
        fold->Witnessed(random() % (done + 1));
      }
      if (random() % 40 == 0) {
        for (auto& [key, value] : fold->TakeDirty()) {
          cache[key] = std::move(value);
        }
        fold = std::make_unique<Fold>();
        for (const auto& [key, value] : cache) {
          ASSERT_THAT(fold->Restore(key, value), IsOk());
        }
      }
    }
    ASSERT_EQ(fold->Canonical(), whole.Canonical()) << seed;
    whole.Witnessed(done);
    fold->Witnessed(done);
    for (uint8_t vm = 1; vm <= 6; ++vm) {
      for (const int64_t later : {0, 59'000, 200'000, 90'000'000}) {
        ASSERT_EQ(fold->Read(Vm(vm), kNow + 10'000'000 + later)->milli,
                  whole.Read(Vm(vm), kNow + 10'000'000 + later)->milli);
      }
    }
  }
}

// Never a stale pass: nobody who knows fewer witnessed records sees more.
TEST(Fold, LessWitnessedIsNeverMoreTrust) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const auto history = History(seed, 300);
    Fold all;
    Fold some;
    Fold none;
    for (const auto& call : history) {
      call(all);
      call(some);
      call(none);
    }
    all.Witnessed(300);
    some.Witnessed(200);
    for (uint8_t vm = 1; vm <= 6; ++vm) {
      const int64_t now = kNow + 4'000'000;
      EXPECT_LE(some.Read(Vm(vm), now)->milli, all.Read(Vm(vm), now)->milli);
      EXPECT_LE(none.Read(Vm(vm), now)->milli, some.Read(Vm(vm), now)->milli);
    }
  }
}

TEST(Fold, RefusesStateThatIsNotOurs) {
  Fold fold;
  fold.Register({.index = 0, .time_ms = kNow}, Vm(1), "a");
  for (const auto& [key, value] : fold.TakeDirty()) {
    for (size_t cut = 0; cut < value.size(); ++cut) {
      EXPECT_THAT(Fold().Restore(key, ByteView(value).subspan(0, cut)),
                  StatusIs(absl::StatusCode::kInvalidArgument));
    }
  }
  EXPECT_THAT(fold.Restore("other", {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmattest::trust
