#include "ledger/sequencer.h"

#include <future>

#include "fakes/fake_log_store.h"
#include "fakes/manual_clock.h"
#include "gmock/gmock.h"
#include "support/ledger_rig.h"

namespace vmattest::ledger {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::FakeLogStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::ManualClock;
using vmattest::testing::StatusIs;

using Answer = std::future<absl::StatusOr<Sequencer::Submitted>>;

class SequencerTest : public ::testing::Test {
 protected:
  SequencerTest() {
    EXPECT_TRUE(store_.Lead("here")->mine);
    log_ = *Log::Open(store_, rig_.Policy(), {});
    rig_.Populate(*log_);
    sequencer_ = std::make_unique<Sequencer>(*log_, checkers_, clock_,
                                             Sequencer::Options{.self = "me"});
  }
  Answer Submit(const Bytes& bytes) {
    auto promise =
        std::make_shared<std::promise<absl::StatusOr<Sequencer::Submitted>>>();
    Answer answer = promise->get_future();
    EXPECT_THAT(
        sequencer_->Submit(bytes,
                           [promise](absl::StatusOr<Sequencer::Submitted> got) {
                             promise->set_value(std::move(got));
                           }),
        IsOk());
    return answer;
  }

  LedgerRig rig_;
  FakeLogStore store_;
  ManualClock clock_{LedgerRig::kStart};
  ThreadPool checkers_{"check", 2, 10'000};
  std::unique_ptr<Log> log_;
  std::unique_ptr<Sequencer> sequencer_;
};

TEST_F(SequencerTest, AnswersWithIndexAndLedgerTime) {
  const uint64_t size = log_->head().size;
  const auto got = Submit(rig_.Result("h1", 1, true)).get();
  ASSERT_THAT(got, IsOk());
  EXPECT_FALSE(got->refusal.has_value());
  EXPECT_EQ(got->index, size);
  EXPECT_EQ(got->time_ms, LedgerRig::kStart);
  EXPECT_EQ(store_.Head()->size, size + 1);
}

TEST_F(SequencerTest, RefusesForgeriesWithTheirReason) {
  Bytes forged = rig_.Result("h1", 1, true);
  forged.back() ^= 1;
  const auto got = Submit(forged).get();
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->refusal->code, "ledger-signature");
}

TEST_F(SequencerTest, RefusesWhatIsNoEntryAtOnce) {
  EXPECT_THAT(sequencer_->Submit(ToBytes("x"), [](auto) { FAIL(); }),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// A host sends its entries one after the other without waiting.
TEST_F(SequencerTest, KeepsTheOrderOfEachWriter) {
  std::vector<Answer> answers;
  for (int i = 0; i < 40; ++i) {
    for (const char* host : {"h1", "h2", "h3"}) {
      const Bytes bytes = rig_.ByHost(host, [](v1::LedgerEntryBody& body) {
        body.mutable_notice()->set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
      });
      rig_.Accepted(*ParseEntry(bytes));
      answers.push_back(Submit(bytes));
    }
  }
  for (Answer& answer : answers) {
    const auto got = answer.get();
    ASSERT_THAT(got, IsOk());
    ASSERT_FALSE(got->refusal.has_value()) << got->refusal->code;
  }
  EXPECT_LT(sequencer_->stats().batches, answers.size());
}

TEST_F(SequencerTest, TellsOfAFullDiskAndGoesOn) {
  store_.FailAppends([] { return absl::ResourceExhaustedError("disk full"); });
  const Bytes bytes = rig_.Result("h1", 1, true);
  EXPECT_THAT(Submit(bytes).get(),
              StatusIs(absl::StatusCode::kResourceExhausted));
  store_.FailAppends({});
  EXPECT_THAT(Submit(bytes).get(), IsOk());
}

// One record of the future would make all that follows late.
TEST_F(SequencerTest, S30_AClockThatJumpedDatesNothing) {
  const LogHead head = log_->head();
  const Bytes bytes = rig_.Result("h1", 1, true);
  for (const int hours : {24, -24}) {
    const std::chrono::hours jump(hours);
    clock_.Set(jump);
    EXPECT_THAT(Submit(bytes).get(), StatusIs(absl::StatusCode::kUnavailable,
                                              HasSubstr("clock jumped")));
    EXPECT_EQ(log_->head(), head);
    clock_.Set(-jump);
  }
  const auto got = Submit(bytes).get();
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->time_ms, LedgerRig::kStart);
}

TEST_F(SequencerTest, AJumpThatStoodStillDatesAgain) {
  const Bytes bytes = rig_.Result("h1", 1, true);
  clock_.Set(std::chrono::minutes(5));
  ASSERT_THAT(Submit(bytes).get(), StatusIs(absl::StatusCode::kUnavailable));
  clock_.Advance(ClockGuard::kSettle);
  const auto got = Submit(bytes).get();
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->time_ms, LedgerRig::kStart + 15 * 60'000);
}

TEST_F(SequencerTest, NothingIsMadeWhileTheClockIsWrong) {
  clock_.Set(std::chrono::hours(1));
  std::promise<absl::Status> done;
  ASSERT_THAT(sequencer_->SubmitMade(
                  [](const Log&) -> absl::StatusOr<Bytes> {
                    ADD_FAILURE();
                    return Bytes();
                  },
                  [&](auto got) { done.set_value(got.status()); }),
              IsOk());
  EXPECT_THAT(done.get_future().get(),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(SequencerTest, AFollowerSaysWhoLeads) {
  FakeLogStore other(store_.shared());
  do {  // the sequencer may take the lead again in between
    ASSERT_THAT(store_.Resign(), IsOk());
  } while (!other.Lead("other:1")->mine);
  EXPECT_THAT(Submit(rig_.Result("h1", 1, true)).get(),
              StatusIs(absl::StatusCode::kAborted));
  while (sequencer_->leadership().leader != "other:1") {
    Submit(rig_.Result("h1", 1, true)).get().IgnoreError();
  }
  EXPECT_FALSE(sequencer_->leadership().mine);
}

TEST_F(SequencerTest, AnswersEverybodyAtItsEnd) {
  std::vector<Answer> answers;
  for (int i = 0; i < 20; ++i) {
    answers.push_back(Submit(rig_.Result("h1", 1, true)));
  }
  sequencer_ = nullptr;
  for (Answer& answer : answers) {
    answer.get().IgnoreError();  // and not a broken promise
  }
}

}  // namespace
}  // namespace vmattest::ledger
