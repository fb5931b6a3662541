#include "ledger/checkpoint_follower.h"

#include <fstream>

#include "fakes/fake_log_store.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/ledger_rig.h"
#include "support/temp_dir.h"

namespace vmattest::ledger {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::FakeLogStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::ManualClock;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

// A log that a witness cosigns, and somebody who follows it.
class CheckpointFollowerTest : public ::testing::Test {
 protected:
  CheckpointFollowerTest() {
    EXPECT_TRUE(store_.Lead("here")->mine);
    log_ = *Log::Open(store_, rig_.Policy(), {});
    rig_.Populate(*log_);
  }
  std::unique_ptr<CheckpointFollower> Open(
      const std::string& origin = LedgerRig::kOrigin) {
    auto follower = CheckpointFollower::Open(
        {.origin = origin,
         .policy = *tlog::WitnessPolicy::Parse(
             fmt::format("log {}\nwitness w {}\nquorum w\n", signer_->vkey(),
                         witness_->vkey())),
         .file = file_},
        clock_);
    EXPECT_THAT(follower, IsOk());
    return *std::move(follower);
  }
  std::string Note(uint64_t size, const Bytes& root) {
    tlog::Note note{
        .text = tlog::EncodeCheckpoint(
            {.origin = LedgerRig::kOrigin, .size = size, .root = root})};
    const int64_t now = clock_.Now().time_since_epoch().count() / 1'000;
    EXPECT_THAT(tlog::AddSignature(note, *signer_, now), IsOk());
    EXPECT_THAT(tlog::AddSignature(note, *witness_, now), IsOk());
    return EncodeNote(note);
  }
  std::string Newest() {
    const LogHead head = log_->head();
    return Note(head.size, head.root);
  }
  CheckpointFollower::ReadProof Proofs() {
    return [this](uint64_t old_size, uint64_t size) {
      return log_->ConsistencyProof(old_size, size);
    };
  }
  void Grow() { ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), ""); }

  const TempDir dir_;
  const std::filesystem::path file_ = dir_.path() / "seen";
  LedgerRig rig_;
  ManualClock clock_{LedgerRig::kStart};
  FakeLogStore store_;
  std::unique_ptr<Log> log_;
  const std::shared_ptr<tlog::NoteSigner> signer_ = *tlog::EcdsaNoteSigner(
      LedgerRig::kOrigin,
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
  const std::shared_ptr<tlog::NoteSigner> witness_ = *tlog::Ed25519NoteSigner(
      "w.example", tlog::NoteKeyType::kEd25519Cosignature,
      *Ed25519PrivateKey::FromSeed(SecretBytes(Bytes(32, 7))));
};

TEST_F(CheckpointFollowerTest, BelievesWhatContinuesAlsoAfterARestart) {
  auto follower = Open();
  const uint64_t size = log_->head().size;
  EXPECT_EQ(follower->Take(Newest(), Proofs()).value_or(0), size);
  Grow();
  follower = Open();
  EXPECT_EQ(follower->Take(Newest(), Proofs()).value_or(0), size + 1);
  EXPECT_EQ(follower->Take(Newest(), Proofs()).value_or(0), size + 1);
}

TEST_F(CheckpointFollowerTest, ALedgerThatWentBackIsDataLossAlsoAfterARestart) {
  const std::string before = Newest();
  Grow();
  ASSERT_THAT(Open()->Take(Newest(), Proofs()), IsOk());
  EXPECT_THAT(Open()->Take(before, Proofs()),
              StatusIs(kDataLoss, HasSubstr("rolled back")));
}

TEST_F(CheckpointFollowerTest, AnotherStoryIsDataLoss) {
  const auto follower = Open();
  ASSERT_THAT(follower->Take(Newest(), Proofs()), IsOk());
  const uint64_t size = log_->head().size;
  EXPECT_THAT(follower->Take(Note(size, Bytes(32, 1)), Proofs()),
              StatusIs(kDataLoss, HasSubstr("forked")));
  EXPECT_THAT(follower->Take(Note(size + 5, Bytes(32, 1)),
                             [](uint64_t, uint64_t) {
                               return std::vector<Bytes>(3, Bytes(32, 2));
                             }),
              StatusIs(kDataLoss, HasSubstr("does not continue")));
  // Nothing of that is remembered.
  Grow();
  EXPECT_THAT(follower->Take(Newest(), Proofs()), IsOk());
}

TEST_F(CheckpointFollowerTest, StaleForeignAndUnwitnessedOnesAreNotBelieved) {
  const auto follower = Open();
  const std::string note = Newest();
  clock_.Advance(std::chrono::seconds(61));
  EXPECT_THAT(follower->Take(note, Proofs()), StatusIs(kPrecondition));
  EXPECT_THAT(Open("another.example/log")->Take(Newest(), Proofs()),
              StatusIs(kPrecondition, HasSubstr("another.example/log")));
  tlog::Note alone = *tlog::ParseNote(Newest());
  alone.signatures.pop_back();
  EXPECT_THAT(follower->Take(EncodeNote(alone), Proofs()),
              StatusIs(kPrecondition));
  EXPECT_FALSE(follower->Take("", Proofs()).ok());
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(CheckpointFollowerTest, WhatWasSeenUnderAnotherPolicyIsNamed) {
  std::ofstream(file_) << "nonsense";
  const auto follower = CheckpointFollower::Open(
      {.origin = LedgerRig::kOrigin,
       .policy = *tlog::WitnessPolicy::Parse(
           fmt::format("log {}\nquorum none\n", signer_->vkey())),
       .file = file_},
      clock_);
  EXPECT_THAT(follower, StatusIs(kDataLoss, HasSubstr("remove the file")));
}

}  // namespace
}  // namespace vmattest::ledger
