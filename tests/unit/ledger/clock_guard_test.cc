#include "ledger/clock_guard.h"

#include "fakes/manual_clock.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::ledger {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::ManualClock;
using vmattest::testing::StatusIs;

class ClockGuardTest : public ::testing::Test {
 protected:
  static constexpr int64_t kMaxSkewMs = 60'000;
  // Time passes, and somebody looks every few seconds.
  void Pass(seconds time) {
    for (; time >= kLook; time -= kLook) {
      clock_.Advance(kLook);
      guard_.Check().IgnoreError();
    }
  }
  // A quorum whose clocks are `ahead` of the right time, which is `off` less
  // than this clock's.
  void Heard(milliseconds off, milliseconds ahead = {}) {
    const ClockGuard::Moment now = guard_.Look();
    guard_.Heard(now, now.wall_ms - off.count() + ahead.count());
  }

  static constexpr seconds kLook{5};
  ManualClock clock_;
  ClockGuard guard_{clock_, kMaxSkewMs};
};

TEST_F(ClockGuardTest, AClockThatOnlyGoesOnIsGood) {
  EXPECT_THAT(guard_.Check(), IsOk());
  clock_.Advance(std::chrono::hours(24 * 365));
  EXPECT_THAT(guard_.Check(), IsOk());
}

TEST_F(ClockGuardTest, AJumpEitherWayIsNoneUntilItIsBack) {
  for (const seconds jump : {seconds(61), seconds(-61)}) {
    clock_.Set(jump);
    EXPECT_THAT(guard_.Check(),
                StatusIs(absl::StatusCode::kUnavailable,
                         AllOf(HasSubstr("jumped by"), HasSubstr("61 s"))));
    Pass(minutes(9));
    EXPECT_THAT(guard_.Check(), StatusIs(absl::StatusCode::kUnavailable));
    clock_.Set(-jump);
    EXPECT_THAT(guard_.Check(), IsOk());
  }
  clock_.Set(seconds(60));
  EXPECT_THAT(guard_.Check(), IsOk());
}

TEST_F(ClockGuardTest, SmallJumpsAddUp) {
  clock_.Set(seconds(40));
  EXPECT_THAT(guard_.Check(), IsOk());
  Pass(minutes(1));
  clock_.Set(seconds(40));
  EXPECT_THAT(guard_.Check(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ClockGuardTest, ACorrectionForGoodIsBelievedOnceItStoodStill) {
  clock_.Set(std::chrono::hours(3));
  guard_.Check().IgnoreError();
  Pass(minutes(9));
  clock_.Set(seconds(5));  // not still: it begins again
  Pass(minutes(9));
  EXPECT_THAT(guard_.Check(), StatusIs(absl::StatusCode::kUnavailable));
  Pass(minutes(2));
  EXPECT_THAT(guard_.Check(), IsOk());
  // What it was before is a jump now.
  clock_.Set(-std::chrono::hours(3));
  EXPECT_THAT(guard_.Check(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ClockGuardTest, WhatNobodyLookedAtDidNotStandStill) {
  clock_.Set(std::chrono::hours(3));
  clock_.Advance(std::chrono::hours(1));
  EXPECT_THAT(guard_.Check(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ClockGuardTest, ASlowCorrectionIsNoJump) {
  for (int i = 0; i < 24 * 60; ++i) {  // a day at 500 ppm more than it should
    clock_.Set(milliseconds(30));
    Pass(minutes(1));
    ASSERT_THAT(guard_.Check(), IsOk()) << i;
  }
}

TEST_F(ClockGuardTest, AQuorumThatAgreesMakesAJumpGoodAtOnce) {
  clock_.Set(std::chrono::hours(3));
  ASSERT_THAT(guard_.Check(), StatusIs(absl::StatusCode::kUnavailable));
  Heard(milliseconds(0));
  EXPECT_THAT(guard_.Check(), IsOk());
}

TEST_F(ClockGuardTest, AClockThatWasWrongFromTheStartIsFoundByAQuorum) {
  Heard(std::chrono::hours(24));
  EXPECT_THAT(guard_.Check(),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("86400 s ahead of that of a quorum")));
  Pass(minutes(9));
  EXPECT_THAT(guard_.Check(), StatusIs(absl::StatusCode::kUnavailable));
  Heard(std::chrono::hours(24));  // it says so as long as it is asked
  Pass(minutes(9));
  EXPECT_THAT(guard_.Check(), StatusIs(absl::StatusCode::kUnavailable));
  clock_.Set(-std::chrono::hours(24));
  EXPECT_THAT(guard_.Check(), IsOk());
}

TEST_F(ClockGuardTest, AQuorumThatIsAheadStopsNobodyForGood) {
  Heard(milliseconds(0), std::chrono::hours(24));
  EXPECT_THAT(guard_.Check(), IsOk());
  clock_.Set(minutes(5));
  Heard(minutes(5), std::chrono::hours(24));
  EXPECT_THAT(guard_.Check(), StatusIs(absl::StatusCode::kUnavailable));
  Pass(minutes(5));
  Heard(minutes(5), std::chrono::hours(24));
  Pass(minutes(6));
  EXPECT_THAT(guard_.Check(), IsOk());
}

}  // namespace
}  // namespace vmattest::ledger
