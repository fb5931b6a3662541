#include "verifierd/witness_stack.h"

#include <filesystem>

#include "fakes/fake_log_store.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/ledger_rig.h"
#include "support/temp_dir.h"
#include "support/vectors.h"
#include "support/witness_request.h"
#include "verifierd/fork_proof.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;

using testing::FakeLogStore;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::LedgerRig;
using testing::ManualClock;
using testing::NoteOf;
using testing::Slurp;
using testing::StatusIs;
using testing::TempDir;
using testing::WitnessRequestFor;

// A log that may tell two stories: its key signs for whichever.
struct Story {
  Story() {
    EXPECT_TRUE(store.Lead("here")->mine);
    log = *ledger::Log::Open(store, rig.Policy(), {});
    rig.Populate(*log);
  }
  void Grow() { ASSERT_EQ(rig.Submit(*log, rig.Result("h1", 1, true)), ""); }

  LedgerRig rig;  // whose keys are its own, and so are the records
  FakeLogStore store;
  std::unique_ptr<ledger::Log> log;
};

class WitnessStackTest : public ::testing::Test {
 protected:
  std::unique_ptr<WitnessStack> Open() { return Open(Policy()); }
  std::unique_ptr<WitnessStack> Open(const std::string& policy) {
    auto stack =
        WitnessStack::Open({.folder = dir_.path(),
                            .origin = LedgerRig::kOrigin,
                            .policy = *tlog::WitnessPolicy::Parse(policy)},
                           clock_);
    EXPECT_THAT(stack, IsOk());
    return *std::move(stack);
  }
  std::string Policy() {
    return fmt::format("log {}\nquorum none\n", signer_->vkey());
  }
  ledger::WitnessRequest Request(Story& story, uint64_t old_size = 0) {
    ledger::WitnessRequest request =
        WitnessRequestFor(*story.log, *signer_, old_size);
    note_ = NoteOf(request);
    return request;
  }
  static int Add(WitnessStack& stack, const ledger::WitnessRequest& request) {
    const auto reply = stack.Add(request);
    EXPECT_THAT(reply, IsOk());
    return reply->status;
  }
  [[nodiscard]] fs::path File(const std::string& name) const {
    return dir_.path() / name;
  }

  const TempDir dir_;
  ManualClock clock_{LedgerRig::kStart};
  Story first_;
  Story second_;
  const std::shared_ptr<tlog::NoteSigner> signer_ = *tlog::EcdsaNoteSigner(
      LedgerRig::kOrigin,
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
  std::string note_;  // of the newest request
};

TEST_F(WitnessStackTest, ItsLinesMakeAQuorumOfItsCosignatures) {
  const auto stack = Open();
  const auto reply = stack->Add(Request(first_));
  ASSERT_THAT(reply, IsOk());
  ASSERT_EQ(reply->status, 200) << reply->body;
  const std::string lines = Slurp(File("ledger-witness.policy"));
  ASSERT_OK_AND_ASSIGN(const auto named,
                       tlog::WitnessPolicy::Parse(lines + "quorum none\n"));
  // Ed25519, and ML-DSA where it is.
  ASSERT_EQ(named.witnesses().size(), MlDsaProvider::Open().ok() ? 2u : 1u);
  for (const auto& witness : named.witnesses()) {
    ASSERT_OK_AND_ASSIGN(
        const auto asks,
        tlog::WitnessPolicy::Parse(fmt::format(
            "log {}\n{}quorum {}\n", signer_->vkey(), lines, witness.name)));
    EXPECT_THAT(tlog::OpenCheckpoint(note_ + reply->body, asks), IsOk());
    EXPECT_FALSE(tlog::OpenCheckpoint(note_, asks).ok());
  }
}

TEST_F(WitnessStackTest, ARestartForgetsNeitherKeysNorWhatWasCosigned) {
  const uint64_t size = first_.log->head().size;
  ASSERT_EQ(Add(*Open(), Request(first_)), 200);
  const std::string lines = Slurp(File("ledger-witness.policy"));
  first_.Grow();
  const auto again = Open();
  EXPECT_EQ(Slurp(File("ledger-witness.policy")), lines);
  EXPECT_EQ(Add(*again, Request(first_)), 409);
  EXPECT_EQ(Add(*again, Request(first_, size)), 200);
  EXPECT_THAT(again->Tick(), IsOk());
  EXPECT_EQ(fs::status(File("ledger-witness.seed")).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(WitnessStackTest, IsNoneOfAPolicyWithoutALog) {
  EXPECT_THAT(WitnessStack::Open(
                  {.folder = dir_.path(),
                   .origin = LedgerRig::kOrigin,
                   .policy = *tlog::WitnessPolicy::Parse("quorum none\n")},
                  clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(fs::exists(File("ledger-witness.policy")));
}

TEST_F(WitnessStackTest, AForkIsProvedOnDiskBeforeItIsAnsweredAndForGood) {
  auto stack = Open();
  ASSERT_EQ(Add(*stack, Request(first_)), 200);
  EXPECT_THAT(stack->CheckFork(LedgerRig::kOrigin), IsOk());
  ASSERT_EQ(Add(*stack, Request(second_)), 409);
  ASSERT_OK_AND_ASSIGN(const auto proof, ReadForkProof(dir_.path()));
  ASSERT_TRUE(proof.has_value());
  const auto policy = *tlog::WitnessPolicy::Parse(Policy());
  EXPECT_THAT(tlog::CheckFork(*proof, policy.verifiers()), IsOk());
  for (int life = 0; life < 2; ++life) {
    EXPECT_THAT(stack->Tick(), StatusIs(absl::StatusCode::kDataLoss,
                                        HasSubstr("ledger-fork.proof")));
    EXPECT_THAT(stack->CheckFork(LedgerRig::kOrigin),
                StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(stack->CheckFork("another.example"), IsOk());
    EXPECT_TRUE(stack->knows_fork());
    stack = Open();
  }
  // A new ledger of the same name, with another key.
  const auto other = *tlog::EcdsaNoteSigner(
      LedgerRig::kOrigin,
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
  stack = Open(fmt::format("log {}\nquorum none\n", other->vkey()));
  EXPECT_THAT(stack->Tick(), IsOk());
  fs::remove(ForkProofFile(dir_.path()));
  EXPECT_FALSE(Open()->knows_fork());
}

TEST_F(WitnessStackTest, AForkOfAnotherLogHidesNoneOfThisHostsOwn) {
  const std::shared_ptr<tlog::NoteSigner> other = *tlog::EcdsaNoteSigner(
      "other.example",
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
  const std::string policy = fmt::format("log {}\nlog {}\nquorum none\n",
                                         signer_->vkey(), other->vkey());
  auto stack = Open(policy);
  for (const auto& log : {other, signer_}) {
    EXPECT_THAT(stack->CheckFork(LedgerRig::kOrigin), IsOk());
    ASSERT_EQ(Add(*stack, WitnessRequestFor(*first_.log, *log)), 200);
    ASSERT_EQ(Add(*stack, WitnessRequestFor(*second_.log, *log)), 409);
  }
  EXPECT_THAT(stack->CheckFork(LedgerRig::kOrigin),
              StatusIs(absl::StatusCode::kDataLoss));
  ASSERT_EQ(Add(*stack, WitnessRequestFor(*second_.log, *other)), 409);
  stack = Open(policy);
  EXPECT_THAT(stack->CheckFork(LedgerRig::kOrigin),
              StatusIs(absl::StatusCode::kDataLoss));
}

// Anybody with the role can have that said, by a proof that is none: it is
// written down, and decides nothing.
TEST_F(WitnessStackTest, NotesOfTwoSizesAreKeptForWhoHasTheLog) {
  const auto stack = Open();
  const uint64_t size = first_.log->head().size;
  ASSERT_EQ(Add(*stack, Request(first_)), 200);
  const std::string held = note_;
  second_.Grow();
  ASSERT_EQ(Add(*stack, Request(second_, size)), 422);
  EXPECT_THAT(stack->Tick(), IsOk());
  EXPECT_EQ(Slurp(File("ledger-conflict.held")), held);
  EXPECT_EQ(Slurp(File("ledger-conflict.shown")), note_);
  EXPECT_FALSE(stack->knows_fork());
  EXPECT_FALSE(fs::exists(ForkProofFile(dir_.path())));
}

TEST_F(WitnessStackTest, OldAndKnownCheckpointsAreNoContradiction) {
  const auto stack = Open();
  const ledger::WitnessRequest old = Request(first_);
  const uint64_t size = first_.log->head().size;
  first_.Grow();
  ASSERT_EQ(Add(*stack, Request(first_)), 200);
  EXPECT_EQ(Add(*stack, old), 409);
  // What it holds, with a proof where none belongs.
  ledger::WitnessRequest known = Request(first_, size);
  tlog::AddCheckpoint asked = *tlog::ParseAddCheckpoint(known.body);
  asked.old_size = size + 1;
  known.body = tlog::EncodeAddCheckpoint(asked);
  EXPECT_EQ(Add(*stack, known), 422);
  EXPECT_THAT(stack->Tick(), IsOk());
  EXPECT_FALSE(fs::exists(File("ledger-conflict.held")));
  EXPECT_FALSE(stack->knows_fork());
}

}  // namespace
}  // namespace vmattest::verifierd
