#include "ledger/node.h"

#include <atomic>
#include <functional>
#include <future>

#include "fakes/fake_log_store.h"
#include "fakes/fake_witness_store.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/ledger_rig.h"
#include "support/local_witness.h"
#include "vmattest/ledger/light_client.h"

namespace vmattest::ledger {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using vmattest::testing::FakeLogStore;
using vmattest::testing::FakeWitnessStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::LedgerVm;
using vmattest::testing::LocalWitness;
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
  std::shared_ptr<tlog::NoteSigner> Signer() const {
    return *tlog::EcdsaNoteSigner(LedgerRig::kOrigin, key_);
  }
  std::unique_ptr<LedgerNode> Open(
      std::chrono::milliseconds interval = std::chrono::milliseconds(1)) {
    return OpenWith({}, "quorum none\n", interval);
  }
  // `policy`: what follows the line of the log.
  std::unique_ptr<LedgerNode> OpenWith(
      std::vector<std::shared_ptr<WitnessClient>> witnesses,
      const std::string& policy,
      std::chrono::milliseconds interval = std::chrono::milliseconds(1)) {
    std::vector<std::shared_ptr<tlog::NoteSigner>> signers = {Signer()};
    policy_ = fmt::format("log {}\n{}", signers[0]->vkey(), policy);
    if (pq_ != nullptr) {
      signers.push_back(pq_);
    }
    auto node =
        LedgerNode::Open({.store = std::make_unique<FakeLogStore>(shared_),
                          .memory = std::make_unique<FakeWitnessStore>(),
                          .witness = std::make_unique<FakeWitnessStore>(),
                          .policy = rig_.Policy(),
                          .witnesses = *tlog::WitnessPolicy::Parse(policy_),
                          .signers = std::move(signers),
                          .remote = std::move(witnesses)},
                         checkers_, clock_,
                         {.sequencer = {.self = "me"},
                          .checkpoint_interval = interval,
                          .max_watchers = 1});
    EXPECT_THAT(node, IsOk());
    return *std::move(node);
  }
  static void Await(const std::function<bool()>& done) {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), until);
      std::this_thread::yield();
    }
  }
  static void AwaitWitnessed(LedgerNode& node, uint64_t size) {
    Await([&] { return node.checkpoint().witnessed >= size; });
  }

  static void AwaitMore(const std::atomic<int>& count, int before) {
    Await([&] { return count > before; });
  }
  // Of a round soon.
  static void AwaitHealth(const LedgerNode& node, absl::StatusCode code) {
    SCOPED_TRACE(absl::StatusCodeToString(code));
    Await([&] { return node.health().code() == code; });
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
  Await([&] { return done.load(); });
}

// Whoever demands the post-quantum signature gets it, and only then believes.
TEST_F(NodeTest, ACheckpointCarriesTheMlDsaSignatureThatAQuorumNames) {
  ASSERT_OK_AND_ASSIGN(
      MlDsaKey key,
      MlDsaKey::FromSeed(MlDsaLevel::k44, SecretBytes(Bytes(32, 1))));
  pq_ = *tlog::MlDsaNoteSigner(LedgerRig::kOrigin, std::move(key));
  const auto node = OpenWith(
      {}, fmt::format("witness log-pq {}\nquorum log-pq\n", pq_->vkey()));
  AwaitWitnessed(*node, size_);
  const std::string note = node->checkpoint().note;
  ASSERT_OK_AND_ASSIGN(const auto policy, tlog::WitnessPolicy::Parse(policy_));
  EXPECT_THAT(tlog::OpenCheckpoint(note, policy), IsOk());
  tlog::Note without = *tlog::ParseNote(note);
  ASSERT_EQ(without.signatures.size(), 2u);
  without.signatures.pop_back();
  EXPECT_FALSE(tlog::OpenCheckpoint(EncodeNote(without), policy).ok());
}

TEST_F(NodeTest, WhatWasCommittedBeforeACleanStopIsSignedFor) {
  // The only round that it has by itself may come before it leads.
  auto node = Open(std::chrono::hours(1));
  Await([&] { return node->leadership().mine; });
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
  AwaitMore(told, before);
}

TEST_F(NodeTest, TellsWhoWatchesWhenTimeAloneTakesTrust) {
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  AwaitHealth(*node, absl::StatusCode::kOk);
  std::atomic<int> told = 0;
  std::atomic<int64_t> milli = -1;
  ASSERT_OK_AND_ASSIGN(const auto watch, node->Subscribe([&] {
    milli = node->GetScore(LedgerVm(2))->reading.milli;
    ++told;
  }));
  clock_.Advance(std::chrono::seconds(59));
  AwaitMore(told, 0);
  EXPECT_GT(milli, 99'000);
  const int before = told;
  clock_.Advance(std::chrono::seconds(15));  // nobody said anything for 60 s
  AwaitMore(told, before);
  EXPECT_LT(milli, 81'000);
}

TEST_F(NodeTest, TellsWhoWatchesOfAQuorumThatCameLater) {
  const auto signer = Signer();
  const auto witness = std::make_shared<LocalWitness>(
      "w", std::vector{*tlog::NoteVerifier::Parse(signer->vkey())},
      [] { return LedgerRig::kStart / 1'000; });
  witness->away = true;
  const auto node = OpenWith(
      {witness}, fmt::format("witness w {}\nquorum w\n", witness->vkey()));
  AwaitHealth(*node, absl::StatusCode::kOk);
  Await([&] { return !node->checkpoint().problems.empty(); });
  std::atomic<int> told_witnessed = 0;
  ASSERT_OK_AND_ASSIGN(const auto watch, node->Subscribe([&] {
    told_witnessed += node->checkpoint().witnessed == size_ ? 1 : 0;
  }));
  witness->away = false;
  AwaitMore(told_witnessed, 0);
}

TEST_F(NodeTest, TellsWhoWatchesThatItIsNotToBeBelievedOrIsIll) {
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  AwaitHealth(*node, absl::StatusCode::kOk);
  std::atomic<int> told_ill = 0;
  std::atomic<int> told_lost = 0;
  ASSERT_OK_AND_ASSIGN(const auto watch, node->Subscribe([&] {
    told_ill += absl::IsUnavailable(node->health()) ? 1 : 0;
    told_lost += absl::IsDataLoss(node->GetScore(LedgerVm(2)).status()) ? 1 : 0;
  }));
  clock_.Set(std::chrono::hours(-1));
  AwaitMore(told_ill, 0);
  EXPECT_EQ(told_lost, 0);
  node->Distrust(absl::DataLossError("restored"));
  EXPECT_GT(told_lost, 0);
}

TEST_F(NodeTest, S30_AClockThatJumpsTenMinutesEitherWayRaisesNoTrust) {
  constexpr std::chrono::minutes kJump{10};
  auto node = Open();
  AwaitWitnessed(*node, size_);
  int64_t newest_ms = 0;
  const auto submit = [&](const Bytes& entry) {
    std::promise<absl::StatusOr<Sequencer::Submitted>> promise;
    EXPECT_THAT(node->Submit(entry,
                             [&](absl::StatusOr<Sequencer::Submitted> got) {
                               promise.set_value(std::move(got));
                             }),
                IsOk());
    return promise.get_future().get();
  };
  const auto pass = [&] {
    const Bytes entry = rig_.Result("h1", 1, true);
    const auto got = submit(entry);
    ASSERT_THAT(got, IsOk());
    EXPECT_FALSE(got->refusal.has_value());
    rig_.Accepted(*ParseEntry(entry));
    AwaitWitnessed(*node, got->index + 1);
    EXPECT_GE(got->time_ms, newest_ms);  // never back
    newest_ms = got->time_ms;
  };
  const auto milli = [&] { return node->GetScore(LedgerVm(1))->reading.milli; };
  const auto is_refused = [&] {
    const uint64_t size = node->log().head().size;
    EXPECT_THAT(submit(rig_.Result("h1", 1, true)),
                StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(node->log().head().size, size);
    AwaitHealth(*node, absl::StatusCode::kUnavailable);
  };
  int64_t before = milli();
  clock_.Set(kJump);
  EXPECT_LE(milli(), before);
  before = milli();
  is_refused();
  clock_.Set(-kJump);
  EXPECT_LE(milli(), before);
  pass();
  EXPECT_LE(milli(), before);
  EXPECT_EQ(newest_ms, LedgerRig::kStart);
  clock_.Set(-kJump);
  EXPECT_LE(milli(), before);
  is_refused();
  EXPECT_LE(milli(), before);
  // Ten minutes on it is as if it had always been so; and what is ten minutes
  // old is late.
  clock_.Advance(2 * kJump);
  pass();
  EXPECT_EQ(newest_ms, LedgerRig::kStart + 600'000);
  EXPECT_LE(milli(), before);
  // Passes count again, and whoever says that this is the time, by a restart,
  // sees it.
  clock_.Advance(kJump);
  node = nullptr;
  node = Open();
  rig_.time_ms += 1'200'000;
  before = milli();
  pass();
  EXPECT_GT(milli(), before);
}

TEST_F(NodeTest, S30_ANodeSaysThatTheNewestRecordIsOfTheFuture) {
  clock_.Set(std::chrono::milliseconds(-60'000));
  auto node = Open();
  AwaitWitnessed(*node, size_);
  AwaitHealth(*node, absl::StatusCode::kOk);
  node = nullptr;
  clock_.Set(std::chrono::milliseconds(-1'000));
  node = Open();
  AwaitWitnessed(*node, size_);
  AwaitHealth(*node, absl::StatusCode::kUnavailable);
  EXPECT_THAT(node->health(),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("61 s ahead of this node's clock")));
  // One that only reads along says so, too.
  const auto follower = Open();
  EXPECT_FALSE(follower->leadership().mine);
  AwaitHealth(*follower, absl::StatusCode::kUnavailable);
  clock_.Set(std::chrono::seconds(1));
  AwaitHealth(*node, absl::StatusCode::kOk);
  AwaitHealth(*follower, absl::StatusCode::kOk);
}

TEST_F(NodeTest, S30_AQuorumsClocksSayWhoseJumpedAndWhoseIsRight) {
  const auto signer = Signer();
  std::atomic<int64_t> witness_s = LedgerRig::kStart / 1'000;
  const auto witness = std::make_shared<LocalWitness>(
      "w", std::vector{*tlog::NoteVerifier::Parse(signer->vkey())},
      [&witness_s] { return witness_s.load(); });
  const auto node = OpenWith(
      {witness}, fmt::format("witness w {}\nquorum w\n", witness->vkey()));
  AwaitWitnessed(*node, size_);
  AwaitHealth(*node, absl::StatusCode::kOk);
  clock_.Set(std::chrono::minutes(10));
  AwaitHealth(*node, absl::StatusCode::kUnavailable);
  witness_s += 600;  // it was the quorum's time all along
  AwaitHealth(*node, absl::StatusCode::kOk);
}

// No entry comes in between: nothing but the node's own memory knows better.
TEST_F(NodeTest, S30_AClockSetBackMakesNoOldPassFresh) {
  constexpr std::chrono::minutes kSilent{10};
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  const auto read = [&] { return *node->GetScore(LedgerVm(2)); };
  EXPECT_EQ(read().reading.milli, 100'000);
  clock_.Advance(kSilent);
  const LedgerNode::Trust silent = read();
  EXPECT_EQ(silent.reading.milli, 0);
  EXPECT_EQ(silent.reading.silences, 6u);  // to the floor, no more
  for (const int hours : {-1, -24 * 365}) {
    clock_.Set(std::chrono::hours(hours));
    EXPECT_EQ(read().reading.milli, 0);
    EXPECT_EQ(read().time_unix_ms, silent.time_unix_ms);
    EXPECT_EQ(node->GetTrust(LedgerVm(2))->reading.milli, 0);
  }
  // Time goes on without the wall clock.
  clock_.Advance(std::chrono::seconds(5));
  EXPECT_EQ(read().time_unix_ms, silent.time_unix_ms + 5'000);
}

TEST_F(NodeTest, S30_AClockThatRanAheadForAMomentOnlyLowersTrust) {
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  const auto read = [&] { return *node->GetScore(LedgerVm(2)); };
  clock_.Set(std::chrono::hours(1));
  EXPECT_EQ(read().reading.milli, 0);
  clock_.Set(-std::chrono::hours(1));
  EXPECT_EQ(read().reading.milli, 0);
  // Until the wall clock is there, or here: a restart, which knows what the
  // records say, and no more.
  EXPECT_EQ(Open()->GetScore(LedgerVm(2))->reading.milli, 100'000);
}

TEST_F(NodeTest, S30_TimeRunsFromTheOpeningOnIfTheClockIsBehindTheRecords) {
  clock_.Set(-std::chrono::hours(24));
  const auto node = Open();
  AwaitWitnessed(*node, size_);
  clock_.Advance(std::chrono::minutes(10));  // nobody reads meanwhile
  const LedgerNode::Trust trust = *node->GetScore(LedgerVm(2));
  EXPECT_EQ(trust.time_unix_ms, LedgerRig::kStart + 600'000);
  EXPECT_EQ(trust.reading.milli, 0);
}

TEST_F(NodeTest, S30_AQuorumsTimeIsNoneThatAReadingIsBefore) {
  // The witness' clock is right, and the node's an hour behind.
  const auto signer = Signer();
  const auto witness = std::make_shared<LocalWitness>(
      "w", std::vector{*tlog::NoteVerifier::Parse(signer->vkey())},
      [] { return LedgerRig::kStart / 1'000 + 3'600; });
  const auto node = OpenWith(
      {witness}, fmt::format("witness w {}\nquorum w\n", witness->vkey()));
  AwaitWitnessed(*node, size_);
  const LedgerNode::Trust trust = *node->GetScore(LedgerVm(2));
  EXPECT_EQ(trust.time_unix_ms, LedgerRig::kStart + 3'600'000);
  EXPECT_EQ(trust.reading.milli, 0);
}

TEST_F(NodeTest, GivesNoTrustBeforeAQuorumAndTakesEntriesMeanwhile) {
  const auto signer = Signer();
  const auto witness = std::make_shared<LocalWitness>(
      "w", std::vector{*tlog::NoteVerifier::Parse(signer->vkey())},
      [] { return LedgerRig::kStart / 1'000; });
  witness->away = true;
  const auto node = OpenWith(
      {witness}, fmt::format("witness w {}\nquorum w\n", witness->vkey()));
  Await([&] { return !node->checkpoint().problems.empty(); });
  EXPECT_THAT(node->GetTrust(LedgerVm(1)),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(node->History(LedgerVm(1), 0, 1),
              StatusIs(absl::StatusCode::kUnavailable));
  std::promise<bool> done;
  ASSERT_THAT(node->Submit(rig_.Result("h1", 1, false),
                           [&done](auto got) {
                             done.set_value(got.ok() && !got->refusal);
                           }),
              IsOk());
  EXPECT_TRUE(done.get_future().get());
  witness->away = false;
  AwaitWitnessed(*node, size_ + 1);
  EXPECT_EQ(node->GetTrust(LedgerVm(1))->reading.milli, 60'000);
}

TEST_F(NodeTest, ARollbackThatIsKnownEndsTrustUntilTheRecordsAreBack) {
  const auto open = [&](const Checkpointer::Ahead& ahead) {
    const auto signer = Signer();
    auto node =
        LedgerNode::Open({.store = std::make_unique<FakeLogStore>(shared_),
                          .memory = std::make_unique<FakeWitnessStore>(),
                          .witness = std::make_unique<FakeWitnessStore>(),
                          .policy = rig_.Policy(),
                          .witnesses = *tlog::WitnessPolicy::Parse(fmt::format(
                              "log {}\nquorum none\n", signer->vkey())),
                          .signers = {signer},
                          .ahead = ahead},
                         checkers_, clock_,
                         {.checkpoint_interval = std::chrono::milliseconds(1)});
    EXPECT_THAT(node, IsOk());
    return *std::move(node);
  };
  auto node = Open();
  const Bytes root = node->log().head().root;
  node = open({.note = "of one more", .size = size_ + 1, .root = root});
  EXPECT_THAT(node->GetScore(LedgerVm(1)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("rolled back")));
  EXPECT_THAT(node->Submit(rig_.Result("h1", 1, true), [](auto) {}),
              StatusIs(absl::StatusCode::kDataLoss));
  AwaitHealth(*node, absl::StatusCode::kDataLoss);
  // As many records, and others.
  node = open({.note = "of another", .size = size_, .root = Bytes(32, 1)});
  AwaitHealth(*node, absl::StatusCode::kDataLoss);
  EXPECT_THAT(node->GetScore(LedgerVm(1)),
              StatusIs(absl::StatusCode::kDataLoss));
  // All that was signed for.
  node = open({.note = "of these", .size = size_, .root = root});
  AwaitHealth(*node, absl::StatusCode::kOk);
  AwaitWitnessed(*node, size_);
  EXPECT_FALSE(node->checkpoint().ahead.has_value());
  EXPECT_THAT(node->GetScore(LedgerVm(1)), IsOk());
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
