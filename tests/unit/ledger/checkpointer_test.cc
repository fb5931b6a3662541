#include "ledger/checkpointer.h"

#include "fakes/fake_log_store.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/ledger_rig.h"
#include "support/local_witness.h"

namespace vmattest::ledger {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using vmattest::testing::FakeLogStore;
using vmattest::testing::FakeWitnessStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::LedgerVm;
using vmattest::testing::LocalWitness;
using vmattest::testing::ManualClock;
using vmattest::testing::StatusIs;

// A log, its node's key, and two witnesses of which one is enough... or two.
class CheckpointerTest : public ::testing::Test {
 protected:
  CheckpointerTest()
      : key_(std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate())) {
    for (const char* name : {"w1", "w2"}) {
      witnesses_.push_back(std::make_shared<LocalWitness>(
          name, std::vector{*tlog::NoteVerifier::Parse(Signer()->vkey())},
          [this] { return clock_.Now().time_since_epoch().count() / 1'000; }));
    }
    EXPECT_TRUE(store_.Lead("here")->mine);
    log_ = *Log::Open(store_, rig_.Policy(), {});
    rig_.Populate(*log_);
    Make("all");
  }
  std::shared_ptr<tlog::NoteSigner> Signer() {
    return *tlog::EcdsaNoteSigner(LedgerRig::kOrigin, key_);
  }
  void Make(const std::string& least) {
    policy_ = *tlog::WitnessPolicy::Parse(fmt::format(
        "log {}\nwitness a {}\nwitness b {}\ngroup g {} a b\nquorum g\n",
        Signer()->vkey(), witnesses_[0]->vkey(), witnesses_[1]->vkey(), least));
    MakeWith(*log_);
  }
  void MakeWith(Log& log) {
    checkpointer_ = std::make_unique<Checkpointer>(
        Checkpointer::Parts{.log = log,
                            .policy = *policy_,
                            .signers = {Signer()},
                            .witnesses = {witnesses_[0], witnesses_[1]},
                            .memory = memory_,
                            .clock = clock_});
  }
  int64_t Milli(uint8_t vm) {
    return log_->With([&](const LogState& state) {
      return state.fold().Read(LedgerVm(vm), rig_.time_ms)->milli;
    });
  }

  LedgerRig rig_;
  ManualClock clock_{LedgerRig::kStart};
  std::shared_ptr<const EcPrivateKey> key_;
  std::vector<std::shared_ptr<LocalWitness>> witnesses_;
  FakeLogStore store_;
  std::unique_ptr<Log> log_;
  FakeWitnessStore memory_;
  std::optional<tlog::WitnessPolicy> policy_;
  std::unique_ptr<Checkpointer> checkpointer_;
};

TEST_F(CheckpointerTest, S29_OnlyAQuorumsCheckpointRaisesTrust) {
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, false)), "");
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
  witnesses_[1]->away = true;
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  EXPECT_EQ(checkpointer_->state().witnessed, 0u);
  EXPECT_THAT(checkpointer_->state().problems,
              ElementsAre(HasSubstr("w2"), HasSubstr("no quorum")));
  EXPECT_EQ(Milli(1), 80'000);
  witnesses_[1]->away = false;
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  EXPECT_EQ(checkpointer_->state().witnessed, log_->head().size);
  EXPECT_THAT(checkpointer_->state().problems, IsEmpty());
  EXPECT_EQ(Milli(1), 85'000);
}

TEST_F(CheckpointerTest, ItsNoteStandsAgainstThePolicy) {
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  clock_.Advance(std::chrono::seconds(30));
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  const std::string note = checkpointer_->state().note;
  ASSERT_OK_AND_ASSIGN(
      const tlog::AcceptedCheckpoint accepted,
      tlog::OpenCheckpoint(note, *policy_, LedgerRig::kStart / 1'000 + 30));
  EXPECT_EQ(accepted.checkpoint.size, log_->head().size);
  EXPECT_EQ(accepted.checkpoint.root, log_->head().root);
  EXPECT_EQ((*store_.Checkpoint())->note, note);
}

TEST_F(CheckpointerTest, CatchesUpWithAWitnessThatWasAway) {
  Make("any");
  witnesses_[1]->away = true;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
    ASSERT_THAT(checkpointer_->Round(), IsOk());
    EXPECT_EQ(checkpointer_->state().witnessed, log_->head().size);
  }
  witnesses_[1]->away = false;
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  EXPECT_THAT(checkpointer_->state().problems, IsEmpty());
}

TEST_F(CheckpointerTest, ANodeThatForgotWhatTheWitnessesHoldAsksThem) {
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
  MakeWith(*log_);  // as after a restart
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  EXPECT_EQ(checkpointer_->state().witnessed, log_->head().size);
}

TEST_F(CheckpointerTest, AFollowerTakesOverWhatTheLeaderKeptAndNothingElse) {
  FakeLogStore there(store_.shared());
  ASSERT_OK_AND_ASSIGN(const auto log, Log::Open(there, rig_.Policy(), {}));
  FakeWitnessStore memory;
  Checkpointer follower({.log = *log,
                         .policy = *policy_,
                         .signers = {Signer()},
                         .memory = memory,
                         .clock = clock_});
  ASSERT_THAT(follower.Adopt(), IsOk());  // none yet
  EXPECT_EQ(follower.state().witnessed, 0u);
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  ASSERT_THAT(follower.Adopt(), IsOk());
  EXPECT_EQ(follower.state().witnessed, log->head().size);
  EXPECT_EQ(follower.state().note, checkpointer_->state().note);
  EXPECT_EQ(memory.Find(LedgerRig::kOrigin)->root, log->head().root);
  // It waits until it has read as far as the checkpoint goes.
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  ASSERT_THAT(follower.Adopt(), IsOk());
  EXPECT_EQ(follower.state().witnessed, log->head().size);
  ASSERT_THAT(log->CatchUp(), IsOk());
  // Without a quorum it is none.
  std::string bare = checkpointer_->state().note;
  bare.resize(bare.find("w1") - std::string("\xE2\x80\x94 ").size());
  ASSERT_THAT(store_.PutCheckpoint({.size = log->head().size, .note = bare}),
              IsOk());
  ASSERT_THAT(follower.Adopt(), IsOk());
  EXPECT_LT(follower.state().witnessed, log->head().size);
  EXPECT_THAT(follower.state().problems, ElementsAre(HasSubstr("quorum")));
}

TEST_F(CheckpointerTest, SignsNothingOnceTheLogIsAnother) {
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  // All data of the store copied back, and written on.
  FakeLogStore other_store;
  ASSERT_TRUE(other_store.Lead("here")->mine);
  LedgerRig other_rig;
  ASSERT_OK_AND_ASSIGN(const auto other,
                       Log::Open(other_store, other_rig.Policy(), {}));
  MakeWith(*other);
  ASSERT_EQ(other_rig.Submit(*other, other_rig.Authorise("h1")), "");
  EXPECT_THAT(checkpointer_->Round(), StatusIs(absl::StatusCode::kDataLoss));
  other_rig = LedgerRig();
  for (uint8_t vm = 1; vm < 20; ++vm) {
    // Of the same authority as the log; refusals are as good.
    other_rig.Submit(*other, other_rig.Register(vm));
  }
  EXPECT_THAT(checkpointer_->Round(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(CheckpointerTest, AForkedNodeIsCaughtByAWitnessWithProof) {
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  // Its key signs another story, and its own memory is wiped.
  FakeLogStore other_store;
  ASSERT_TRUE(other_store.Lead("here")->mine);
  LedgerRig other_rig;
  ASSERT_OK_AND_ASSIGN(const auto other,
                       Log::Open(other_store, other_rig.Policy(), {}));
  other_rig.Populate(*other);
  ASSERT_EQ(other->head().size, log_->head().size);
  FakeWitnessStore wiped;
  Checkpointer forked({.log = *other,
                       .policy = *policy_,
                       .signers = {Signer()},
                       .witnesses = {witnesses_[0], witnesses_[1]},
                       .memory = wiped,
                       .clock = clock_});
  EXPECT_THAT(forked.Round(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(forked.state().witnessed, 0u);
  ASSERT_TRUE(forked.state().fork.has_value());
  const std::vector<tlog::NoteVerifier> logs = {
      *tlog::NoteVerifier::Parse(Signer()->vkey())};
  const auto verdict = tlog::CheckFork(*forked.state().fork, logs);
  ASSERT_THAT(verdict, IsOk());
  EXPECT_EQ(verdict->size, log_->head().size);
}

// All that the node has is copied back; the witnesses are elsewhere.
TEST_F(CheckpointerTest, ANodeBehindItsWitnessesBelievesNothingOfItself) {
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  const uint64_t signed_for = log_->head().size;
  FakeLogStore restored;
  ASSERT_TRUE(restored.Lead("here")->mine);
  LedgerRig rig;
  ASSERT_OK_AND_ASSIGN(const auto log, Log::Open(restored, rig.Policy(), {}));
  rig.Populate(*log, 1);
  ASSERT_LT(log->head().size, signed_for);
  FakeWitnessStore wiped;
  Checkpointer behind({.log = *log,
                       .policy = *policy_,
                       .signers = {Signer()},
                       .witnesses = {witnesses_[0], witnesses_[1]},
                       .memory = wiped,
                       .clock = clock_});
  EXPECT_THAT(behind.Round(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("rolled back")));
  EXPECT_FALSE(behind.state().fork.has_value());
  ASSERT_TRUE(behind.state().ahead.has_value());
  EXPECT_EQ(behind.state().ahead->size, signed_for);
  EXPECT_THAT(behind.CheckFork(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(behind.CheckTrusted(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(behind.state().witnessed, 0u);

  // Another story that overtakes is one with a proof.
  for (uint8_t vm = 2; vm < 9; ++vm) {
    ASSERT_EQ(rig.Submit(*log, rig.Register(vm)), "");
  }
  ASSERT_GT(log->head().size, signed_for);
  EXPECT_THAT(behind.Round(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("forked")));
  ASSERT_TRUE(behind.state().fork.has_value());
  const std::vector<tlog::NoteVerifier> logs = {
      *tlog::NoteVerifier::Parse(Signer()->vkey())};
  ASSERT_OK_AND_ASSIGN(
      const tlog::ForkProof portable,
      tlog::ParseForkProof(tlog::EncodeForkProof(*behind.state().fork)));
  ASSERT_OK_AND_ASSIGN(const tlog::Fork fork, tlog::CheckFork(portable, logs));
  EXPECT_EQ(fork.size, signed_for);
  EXPECT_EQ(fork.later_size, log->head().size);
}

// What a witness showed before outlives a restart, and needs no witness then.
TEST_F(CheckpointerTest,
       KnowsAfterARestartWithoutWitnessesThatItWasRolledBack) {
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  const uint64_t signed_for = log_->head().size;
  ASSERT_OK_AND_ASSIGN(const Checkpointer::Ahead ahead,
                       Checkpointer::OpenAhead(checkpointer_->state().note,
                                               *policy_, LedgerRig::kOrigin));
  EXPECT_EQ(ahead.size, signed_for);
  EXPECT_EQ(ahead.root, log_->head().root);

  FakeLogStore restored;
  ASSERT_TRUE(restored.Lead("here")->mine);
  LedgerRig rig;
  ASSERT_OK_AND_ASSIGN(const auto log, Log::Open(restored, rig.Policy(), {}));
  rig.Populate(*log, 1);
  ASSERT_LT(log->head().size, signed_for);
  FakeWitnessStore wiped;
  Checkpointer again({.log = *log,
                      .policy = *policy_,
                      .signers = {Signer()},
                      .memory = wiped,
                      .clock = clock_,
                      .ahead = ahead});
  EXPECT_THAT(again.CheckTrusted(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("rolled back")));
  EXPECT_THAT(again.Round(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(wiped.Find(LedgerRig::kOrigin)->size, 0u);  // nothing was signed

  // Other records in their place: its own key convicts it.
  for (uint8_t vm = 2; vm < 9; ++vm) {
    ASSERT_EQ(rig.Submit(*log, rig.Register(vm)), "");
  }
  EXPECT_THAT(again.Round(), StatusIs(absl::StatusCode::kDataLoss));
  ASSERT_TRUE(again.state().fork.has_value());
  const std::vector<tlog::NoteVerifier> logs = {
      *tlog::NoteVerifier::Parse(Signer()->vkey())};
  ASSERT_OK_AND_ASSIGN(const tlog::Fork fork,
                       tlog::CheckFork(*again.state().fork, logs));
  EXPECT_EQ(fork.size, signed_for);
}

TEST_F(CheckpointerTest, ALogThatHasAgainWhatItSignedForIsBelieved) {
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  const Checkpointer::Ahead ahead = *Checkpointer::OpenAhead(
      checkpointer_->state().note, *policy_, LedgerRig::kOrigin);
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
  Checkpointer again({.log = *log_,
                      .policy = *policy_,
                      .signers = {Signer()},
                      .witnesses = {witnesses_[0], witnesses_[1]},
                      .memory = memory_,
                      .clock = clock_,
                      .ahead = ahead});
  EXPECT_THAT(again.CheckFork(), StatusIs(absl::StatusCode::kDataLoss));
  ASSERT_THAT(again.Round(), IsOk());
  EXPECT_FALSE(again.state().ahead.has_value());
  EXPECT_THAT(again.CheckTrusted(), IsOk());
}

TEST_F(CheckpointerTest, ANoteByAnybodyButTheLogShowsNoRollback) {
  const auto open = [&](const std::string& note) {
    return Checkpointer::OpenAhead(note, *policy_, LedgerRig::kOrigin).status();
  };
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  const std::string note = checkpointer_->state().note;
  EXPECT_THAT(open(note), IsOk());
  EXPECT_THAT(open("x"), StatusIs(absl::StatusCode::kInvalidArgument));
  std::string other = note;
  other[other.find('\n') + 1] ^= 1;  // another size
  EXPECT_THAT(open(other), StatusIs(absl::StatusCode::kInvalidArgument));
  // With the witnesses' signatures alone, or by another key of that name.
  const size_t text = note.find("\n\n") + 2;
  EXPECT_THAT(
      open(note.substr(0, text) + note.substr(note.find('\n', text) + 1)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("key")));
  tlog::Note forged{.text = note.substr(0, text - 1)};
  const auto stranger = *tlog::EcdsaNoteSigner(
      LedgerRig::kOrigin,
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
  ASSERT_THAT(tlog::AddSignature(forged, *stranger, 0), IsOk());
  EXPECT_THAT(open(tlog::EncodeNote(forged)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(CheckpointerTest, BeforeAQuorumNobodyKnowsWhetherItWasRolledBack) {
  witnesses_[1]->away = true;
  EXPECT_THAT(checkpointer_->CheckTrusted(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("quorum")));
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  EXPECT_THAT(checkpointer_->CheckTrusted(),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(checkpointer_->CheckFork(), IsOk());
  witnesses_[1]->away = false;
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  EXPECT_THAT(checkpointer_->CheckTrusted(), IsOk());
  // Once it was heard, an outage changes nothing.
  witnesses_[0]->away = true;
  witnesses_[1]->away = true;
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  EXPECT_THAT(checkpointer_->CheckTrusted(), IsOk());
}

TEST_F(CheckpointerTest,
       AFollowerBelievesANewCheckpointAndNotTheOneThatLayThere) {
  ASSERT_THAT(checkpointer_->Round(), IsOk());
  FakeLogStore there(store_.shared());
  ASSERT_OK_AND_ASSIGN(const auto log, Log::Open(there, rig_.Policy(), {}));
  FakeWitnessStore memory;
  Checkpointer follower({.log = *log,
                         .policy = *policy_,
                         .signers = {Signer()},
                         .memory = memory,
                         .clock = clock_});
  ASSERT_THAT(follower.Adopt(), IsOk());
  ASSERT_THAT(follower.Adopt(), IsOk());
  EXPECT_EQ(follower.state().witnessed, log->head().size);
  EXPECT_THAT(follower.CheckTrusted(),
              StatusIs(absl::StatusCode::kUnavailable));
  clock_.Advance(std::chrono::seconds(1));
  ASSERT_THAT(checkpointer_->Round(), IsOk());  // signed anew
  ASSERT_THAT(follower.Adopt(), IsOk());
  EXPECT_THAT(follower.CheckTrusted(), IsOk());
}

TEST_F(CheckpointerTest, WhereThePolicyAsksForNobodyNobodyIsWaitedFor) {
  policy_ = *tlog::WitnessPolicy::Parse(
      fmt::format("log {}\nquorum none\n", Signer()->vkey()));
  MakeWith(*log_);
  EXPECT_THAT(checkpointer_->CheckTrusted(), IsOk());
}

}  // namespace
}  // namespace vmattest::ledger
