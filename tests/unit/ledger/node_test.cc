#include "ledger/node.h"

#include <atomic>
#include <future>

#include "fakes/fake_log_store.h"
#include "fakes/fake_witness_store.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/ledger_rig.h"
#include "vmattest/ledger/light_client.h"

namespace vmattest::ledger {
namespace {

using ::testing::SizeIs;
using vmattest::testing::FakeLogStore;
using vmattest::testing::FakeWitnessStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::LedgerVm;
using vmattest::testing::ManualClock;
using vmattest::testing::StatusIs;

// A node without witnesses over a log that is there already.
class NodeTest : public ::testing::Test {
 protected:
  NodeTest() {
    auto first = std::make_unique<FakeLogStore>();
    EXPECT_TRUE(first->Lead("before")->mine);
    const auto log = *Log::Open(*first, rig_.Policy(), {});
    rig_.Populate(*log);
    EXPECT_EQ(rig_.Submit(*log, rig_.Result("h1", 1, false)), "");
    size_ = log->head().size;
    EXPECT_THAT(first->Resign(), IsOk());
    shared_ = first->shared();
  }
  std::unique_ptr<LedgerNode> Open(
      std::chrono::milliseconds interval = std::chrono::milliseconds(1)) {
    const std::shared_ptr<tlog::NoteSigner> signer =
        *tlog::EcdsaNoteSigner(LedgerRig::kOrigin, key_);
    std::vector<std::shared_ptr<tlog::NoteSigner>> signers = {signer};
    policy_ = fmt::format("log {}\n", signer->vkey());
    if (pq_ != nullptr) {
      signers.push_back(pq_);
      policy_ += fmt::format("witness log-pq {}\n", pq_->vkey());
    }
    policy_ += pq_ != nullptr ? "quorum log-pq\n" : "quorum none\n";
    auto node =
        LedgerNode::Open({.store = std::make_unique<FakeLogStore>(shared_),
                          .memory = std::make_unique<FakeWitnessStore>(),
                          .witness = std::make_unique<FakeWitnessStore>(),
                          .policy = rig_.Policy(),
                          .witnesses = *tlog::WitnessPolicy::Parse(policy_),
                          .signers = signers},
                         checkers_, clock_,
                         {.sequencer = {.self = "me"},
                          .checkpoint_interval = interval,
                          .max_watchers = 1});
    EXPECT_THAT(node, IsOk());
    return *std::move(node);
  }
  static void AwaitWitnessed(LedgerNode& node, uint64_t size) {
    while (node.checkpoint().witnessed < size) {
      std::this_thread::yield();
    }
  }

  LedgerRig rig_;
  ManualClock clock_{LedgerRig::kStart};
  ThreadPool checkers_{"check", 1, 100};
  std::shared_ptr<FakeLogStore::Shared> shared_;
  const std::shared_ptr<const EcPrivateKey> key_ =
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate());
  std::shared_ptr<tlog::NoteSigner> pq_;
  std::string policy_;
  uint64_t size_ = 0;
};

TEST_F(NodeTest, TrustComesWithAProofThatALightClientChecks) {
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  ASSERT_OK_AND_ASSIGN(const LedgerNode::Trust trust,
                       node->GetTrust(LedgerVm(1)));
  EXPECT_EQ(trust.reading.milli, 80'000);
  ASSERT_TRUE(trust.newest.has_value());
  EXPECT_EQ(trust.newest->index, size_ - 1);
  const auto policy = *tlog::WitnessPolicy::Parse(policy_);
  const LedgerNode::Proven& newest = *trust.newest;
  EXPECT_THAT(VerifyIncluded(newest.checkpoint, policy, newest.index,
                             newest.record, newest.path),
              IsOk());
  Bytes other = newest.record;
  other.back() ^= 1;
  EXPECT_THAT(VerifyIncluded(newest.checkpoint, policy, newest.index, other,
                             newest.path),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(node->GetTrust(LedgerVm(77)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(*node->History(LedgerVm(1), 0, 2), SizeIs(2));
  EXPECT_THAT(node->health(), IsOk());
  // Record 0 authorises h1.
  ASSERT_OK_AND_ASSIGN(const auto first, node->log().store().Records(0, 1));
  ASSERT_OK_AND_ASSIGN(const HostKey key, ReadHostKey(first[0]));
  EXPECT_EQ(key.host_id, "h1");
  EXPECT_EQ(key.evidence_hash.size(), 32u);
  EXPECT_THAT(ReadHostKey(newest.record),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(NodeTest, WhatIsDistrustedFromOutsideGivesNoTrustAndTakesNoEntries) {
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  node->Distrust(absl::DataLossError("restored"));
  EXPECT_THAT(node->GetTrust(LedgerVm(1)),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(node->Submit(rig_.Result("h1", 1, true), [](auto) {}),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(node->health(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(NodeTest, ALaterCheckpointContinuesAnEarlierOne) {
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  const auto policy = *tlog::WitnessPolicy::Parse(policy_);
  const auto older =
      tlog::OpenCheckpoint(node->checkpoint().note, policy)->checkpoint;
  std::atomic<bool> done = false;
  ASSERT_THAT(node->Submit(rig_.Result("h1", 1, true),
                           [&done](auto got) {
                             EXPECT_TRUE(got.ok() && !got->refusal);
                             done = true;
                           }),
              IsOk());
  AwaitWitnessed(*node, size_ + 1);
  const auto newer =
      tlog::OpenCheckpoint(node->checkpoint().note, policy)->checkpoint;
  ASSERT_OK_AND_ASSIGN(const std::vector<Bytes> path,
                       node->log().ConsistencyProof(older.size, newer.size));
  EXPECT_THAT(VerifyContinues(older, newer, path), IsOk());
  EXPECT_FALSE(VerifyContinues(newer, older, path).ok());
  EXPECT_EQ(node->GetTrust(LedgerVm(1))->reading.milli, 85'000);
  while (!done) {
    std::this_thread::yield();
  }
}

// Whoever demands the post-quantum signature gets it, and only then believes.
TEST_F(NodeTest, ACheckpointCarriesTheMlDsaSignatureThatAQuorumNames) {
  ASSERT_OK_AND_ASSIGN(
      MlDsaKey key,
      MlDsaKey::FromSeed(MlDsaLevel::k44, SecretBytes(Bytes(32, 1))));
  pq_ = *tlog::MlDsaNoteSigner(LedgerRig::kOrigin, std::move(key));
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  const std::string note = node->checkpoint().note;
  ASSERT_OK_AND_ASSIGN(const auto policy, tlog::WitnessPolicy::Parse(policy_));
  EXPECT_THAT(policy_, ::testing::HasSubstr("quorum log-pq"));
  EXPECT_THAT(tlog::OpenCheckpoint(note, policy), IsOk());
  tlog::Note without = *tlog::ParseNote(note);
  ASSERT_EQ(without.signatures.size(), 2u);
  without.signatures.pop_back();
  EXPECT_FALSE(tlog::OpenCheckpoint(EncodeNote(without), policy).ok());
}

TEST_F(NodeTest, WhatWasCommittedBeforeACleanStopIsSignedFor) {
  auto node = Open(std::chrono::hours(1));
  AwaitWitnessed(*node, size_);  // the last one for an hour
  std::promise<bool> done;
  ASSERT_THAT(node->Submit(rig_.Result("h1", 1, true),
                           [&done](auto got) {
                             done.set_value(got.ok() && !got->refusal);
                           }),
              IsOk());
  ASSERT_TRUE(done.get_future().get());
  node = nullptr;
  EXPECT_EQ((*FakeLogStore(shared_).Checkpoint())->size, size_ + 1);
}

TEST_F(NodeTest, S30_AWitnessRefusesLedgerTimeOfTheFuture) {
  const auto node = Open();
  const auto ask = [&] {
    const uint64_t size = node->log().head().size;
    tlog::Note note{
        .text = tlog::EncodeCheckpoint({.origin = LedgerRig::kOrigin,
                                        .size = size,
                                        .root = node->log().head().root})};
    EXPECT_THAT(tlog::AddSignature(
                    note, **tlog::EcdsaNoteSigner(LedgerRig::kOrigin, key_), 0),
                IsOk());
    const auto newest = *node->log().ReadIncluded(size - 1, size);
    WitnessRequest request{
        .body = tlog::EncodeAddCheckpoint({.note = tlog::EncodeNote(note)}),
        .newest_record = newest.record_bytes,
        .inclusion_path = newest.path};
    const int right = node->AddCheckpoint(request)->status;
    request.newest_record.back() ^= 1;
    EXPECT_EQ(node->AddCheckpoint(request)->status, 422);
    return right;
  };
  clock_.Advance(std::chrono::milliseconds(-60'001));
  EXPECT_EQ(ask(), 422);
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_EQ(ask(), 200);
}

TEST_F(NodeTest, TellsWhoWatchesAndHowManyMay) {
  const auto node = Open();
  std::atomic<int> told = 0;
  ASSERT_OK_AND_ASSIGN(const auto watch, node->Subscribe([&told] { ++told; }));
  EXPECT_THAT(node->Subscribe([] {}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  const int before = told;
  ASSERT_THAT(node->Submit(rig_.Result("h1", 1, true), [](auto) {}), IsOk());
  while (told == before) {
    std::this_thread::yield();
  }
}

TEST_F(NodeTest, S30_AClockThatJumpsTenMinutesEitherWayRaisesNoTrust) {
  constexpr std::chrono::minutes kJump{10};
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  int64_t newest_ms = 0;
  const auto pass = [&] {
    const Bytes entry = rig_.Result("h1", 1, true);
    std::promise<absl::StatusOr<Sequencer::Submitted>> promise;
    EXPECT_THAT(node->Submit(entry,
                             [&](absl::StatusOr<Sequencer::Submitted> got) {
                               promise.set_value(std::move(got));
                             }),
                IsOk());
    const auto got = promise.get_future().get();
    EXPECT_THAT(got, IsOk());
    EXPECT_FALSE(got->refusal.has_value());
    rig_.Accepted(*ParseEntry(entry));
    AwaitWitnessed(*node, got->index + 1);
    EXPECT_GE(got->time_ms, newest_ms);  // never back
    newest_ms = got->time_ms;
  };
  const auto milli = [&] { return node->GetScore(LedgerVm(1))->reading.milli; };
  int64_t before = milli();
  clock_.Advance(kJump);
  EXPECT_LE(milli(), before);
  before = milli();
  pass();  // ten minutes old by the node's clock
  EXPECT_LE(milli(), before);
  EXPECT_EQ(newest_ms, LedgerRig::kStart + 600'000);
  before = milli();
  clock_.Advance(-kJump);
  EXPECT_LE(milli(), before);
  pass();
  EXPECT_LE(milli(), before);
  // Time has caught up: passes count again.
  clock_.Advance(kJump);
  rig_.time_ms += 600'000;
  before = milli();
  pass();
  EXPECT_GT(milli(), before);
}

TEST_F(NodeTest, AForkThatIsKnownEndsTrustAndTakesNoEntries) {
  const std::shared_ptr<tlog::NoteSigner> signer =
      *tlog::EcdsaNoteSigner(LedgerRig::kOrigin, key_);
  ASSERT_OK_AND_ASSIGN(
      const auto node,
      LedgerNode::Open({.store = std::make_unique<FakeLogStore>(shared_),
                        .memory = std::make_unique<FakeWitnessStore>(),
                        .witness = std::make_unique<FakeWitnessStore>(),
                        .policy = rig_.Policy(),
                        .witnesses = *tlog::WitnessPolicy::Parse(fmt::format(
                            "log {}\nquorum none\n", signer->vkey())),
                        .signers = {signer},
                        .fork = tlog::ForkProof{.first = "a", .second = "b"}},
                       checkers_, clock_, {}));
  EXPECT_THAT(node->GetScore(LedgerVm(1)),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(node->Submit(rig_.Result("h1", 1, true), [](auto) {}),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(node->log().Read(0), IsOk());
}

}  // namespace
}  // namespace vmattest::ledger
