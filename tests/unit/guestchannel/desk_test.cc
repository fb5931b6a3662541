#include "guestchannel/desk.h"

#include "fakes/inline_executor.h"
#include "fakes/manual_clock.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::guestchannel {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using vmattest::testing::InlineExecutor;
using vmattest::testing::ManualClock;

// Parses here, and may be told that it came to harm.
class FakeParser final : public RequestParser {
 public:
  absl::StatusOr<Request> Parse(ByteView payload) override {
    RETURN_IF_ERROR(harm);
    return ParseRequest(payload);
  }
  absl::Status harm;
};

class DeskTest : public ::testing::Test {
 protected:
  struct Asked {
    capture::CaptureRequest request;
    capture::Capturer::Done done;
  };
  struct Heard {
    std::vector<Answer> answers;
    int last = 0;
    [[nodiscard]] const Refusal& refusal() const {
      return std::get<Refusal>(answers.back().body);
    }
  };

  static Request Snapshot(uint8_t id, const std::string& policy = "") {
    return {Bytes(kIdSize, id), SnapshotRequest{policy, Bytes(32, id)}};
  }
  static Guest Vm(uint8_t number) {
    Guest guest;
    guest.uuid.bytes.fill(number);
    guest.name = "vm" + std::to_string(number);
    return guest;
  }
  std::shared_ptr<Heard> Take(const Guest& guest, const Bytes& payload) {
    auto heard = std::make_shared<Heard>();
    desk_.Take(guest, payload, [heard](const Bytes& answer, bool last) {
      heard->last += last ? 1 : 0;
      if (!answer.empty()) {
        const auto parsed = ParseAnswer(answer);
        ASSERT_TRUE(parsed.ok()) << parsed.status();
        heard->answers.push_back(*parsed);
      }
    });
    return heard;
  }
  std::shared_ptr<Heard> Take(const Guest& guest, const Request& request) {
    return Take(guest, Encode(request));
  }
  static capture::CapturedSnapshot Captured() {
    capture::CapturedSnapshot captured;
    captured.record.id = "0001-ab-g";
    captured.record.statement.policy_id = "low";
    captured.record.statement.policy_version = 3;
    captured.record.statement.root = Bytes(32, 4);
    captured.record.statement.consistency = "paused";
    captured.record.statement.regions.resize(2);
    captured.record.statement.regions[0].pages = 8;
    captured.record.statement.regions[1].unavailable = "no-linux: ...";
    captured.evidence = Bytes(10, 1);
    return captured;
  }
  uint64_t Count(Desk::Outcome outcome) { return desk_.counters()[outcome]; }

  FakeParser parser_;
  InlineExecutor work_;
  ManualClock clock_;
  std::vector<Asked> asked_;
  std::vector<std::string> noted_;
  Desk desk_{{.parser = parser_,
              .work = work_,
              .clock = clock_,
              .capture =
                  [this](capture::CaptureRequest request,
                         capture::Capturer::Done done) {
                    asked_.push_back({std::move(request), std::move(done)});
                  },
              .limit_of = [](const std::string&) { return seconds(40); },
              .note =
                  [this](const std::string& kind, const auto& facts) {
                    noted_.push_back(kind + " " + facts.at("vm_name") + " " +
                                     facts.at("policy") + " " +
                                     facts.at("snapshot"));
                  }},
             {.min_interval = seconds(60), .policies = {"low", "wide"}}};
};

TEST_F(DeskTest, CapturesWithTheGuestsNonceAndAnswersWithWhatIsKept) {
  const auto heard = Take(Vm(1), Snapshot(5));
  ASSERT_THAT(asked_, SizeIs(1));
  EXPECT_EQ(asked_[0].request.vm, ToString(Vm(1).uuid));
  EXPECT_EQ(asked_[0].request.policy, "low");
  EXPECT_EQ(asked_[0].request.nonce, Bytes(32, 5));
  EXPECT_EQ(asked_[0].request.cause, "guest");
  ASSERT_THAT(heard->answers, SizeIs(1));
  EXPECT_EQ(std::get<Accepted>(heard->answers[0].body).limit_ms, 40'000U);
  EXPECT_EQ(heard->last, 0);

  asked_[0].done(Captured());
  ASSERT_THAT(heard->answers, SizeIs(2));
  EXPECT_EQ(heard->last, 1);
  const auto& taken = std::get<SnapshotTaken>(heard->answers[1].body);
  EXPECT_EQ(heard->answers[1].id, Bytes(kIdSize, 5));
  EXPECT_EQ(taken.id, "0001-ab-g");
  EXPECT_EQ(taken.policy, "low@3");
  EXPECT_EQ(taken.nonce, Bytes(32, 5));
  EXPECT_EQ(taken.root, Bytes(32, 4));
  EXPECT_EQ(taken.pages, 8U);
  EXPECT_EQ(taken.unavailable_regions, 1U);
  EXPECT_THAT(noted_, ElementsAre("guest-snapshot vm1 low 0001-ab-g"));
  EXPECT_EQ(Count(Desk::Outcome::kTaken), 1U);
}

TEST_F(DeskTest, TheNextIsTooSoonUntilTheIntervalIsOver) {
  Take(Vm(1), Snapshot(1));
  asked_[0].done(Captured());
  clock_.Advance(seconds(20));
  const auto second = Take(Vm(1), Snapshot(2));
  EXPECT_EQ(second->refusal().code, "too-soon");
  EXPECT_EQ(second->refusal().retry_after_ms, 40'000U);
  EXPECT_THAT(second->refusal().sentence, HasSubstr("in 40 s"));
  EXPECT_EQ(second->last, 1);
  clock_.Advance(seconds(40));
  Take(Vm(1), Snapshot(3));
  EXPECT_THAT(asked_, SizeIs(2));
  EXPECT_EQ(Count(Desk::Outcome::kTooSoon), 1U);
}

TEST_F(DeskTest, OneThatFailedCountsTowardsTheInterval) {
  const auto heard = Take(Vm(1), Snapshot(1));
  asked_[0].done(absl::InternalError("secret of the host"));
  EXPECT_EQ(heard->refusal().code, "failed");
  EXPECT_THAT(heard->refusal().sentence, ::testing::Not(HasSubstr("secret")));
  EXPECT_EQ(Take(Vm(1), Snapshot(2))->refusal().code, "too-soon");
  EXPECT_EQ(Count(Desk::Outcome::kFailed), 1U);
}

TEST_F(DeskTest, OneGuestsIntervalIsNotAnothers) {
  Take(Vm(1), Snapshot(1));
  const auto other = Take(Vm(2), Snapshot(2));
  EXPECT_EQ(other->refusal().code, "busy");
  EXPECT_GT(other->refusal().retry_after_ms, 0U);
  asked_[0].done(Captured());
  Take(Vm(2), Snapshot(3));
  EXPECT_THAT(asked_, SizeIs(2));
}

TEST_F(DeskTest, APolicyThatIsNotOfferedIsRefusedAndThoseThatAreNamed) {
  const auto heard = Take(Vm(1), Snapshot(1, "secret"));
  EXPECT_EQ(heard->refusal().code, "policy-not-offered");
  EXPECT_THAT(heard->refusal().sentence, HasSubstr("low, wide"));
  EXPECT_EQ(heard->refusal().retry_after_ms, 0U);
  EXPECT_THAT(asked_, IsEmpty());
  // It cost nothing.
  Take(Vm(1), Snapshot(2, "wide"));
  ASSERT_THAT(asked_, SizeIs(1));
  EXPECT_EQ(asked_[0].request.policy, "wide");
}

TEST_F(DeskTest, ARequestThatComesAgainIsAnsweredAgainAndNotTakenAgain) {
  Take(Vm(1), Snapshot(1));
  EXPECT_THAT(Take(Vm(1), Snapshot(1))->answers, IsEmpty());
  asked_[0].done(Captured());
  const auto again = Take(Vm(1), Snapshot(1));
  EXPECT_THAT(asked_, SizeIs(1));
  EXPECT_EQ(std::get<SnapshotTaken>(again->answers[0].body).id, "0001-ab-g");
  EXPECT_EQ(again->last, 1);
  // Another guest's request by that id is another request.
  Take(Vm(2), Snapshot(1));
  EXPECT_THAT(asked_, SizeIs(2));
}

TEST_F(DeskTest, WhatIsNoRequestIsCountedAndNotAnswered) {
  const auto heard = Take(Vm(1), ToBytes("garbage"));
  EXPECT_THAT(heard->answers, IsEmpty());
  EXPECT_EQ(heard->last, 1);
  parser_.harm = absl::UnavailableError("the worker died");
  EXPECT_EQ(Take(Vm(1), Snapshot(1))->last, 1);
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_EQ(Count(Desk::Outcome::kUnreadable), 2U);
}

TEST_F(DeskTest, WhatNobodyKnowsIsRefusedByItsId) {
  const auto heard = Take(Vm(1), Request{Bytes(kIdSize, 3), {}});
  EXPECT_EQ(heard->refusal().code, "unknown-request");
  EXPECT_EQ(heard->answers[0].id, Bytes(kIdSize, 3));
}

TEST_F(DeskTest, ForgetsWhatDoesNotMatterAndKeepsWhatDoes) {
  Take(Vm(1), Snapshot(1));
  asked_[0].done(Captured());
  desk_.Forget();
  EXPECT_EQ(Take(Vm(1), Snapshot(2))->refusal().code, "too-soon");
  clock_.Advance(seconds(60));
  desk_.Forget();
  Take(Vm(1), Snapshot(1));
  EXPECT_THAT(asked_, SizeIs(2));
}

}  // namespace
}  // namespace vmattest::guestchannel
