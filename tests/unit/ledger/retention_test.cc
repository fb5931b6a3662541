#include "ledger/retention.h"

#include "fakes/fake_log_store.h"
#include "fakes/fake_witness_store.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "ledger/audit.h"
#include "ledger/tile_directory.h"
#include "support/ledger_rig.h"
#include "support/sequencer_client.h"
#include "support/temp_dir.h"

namespace vmattest::ledger {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using vmattest::testing::FakeLogStore;
using vmattest::testing::FakeWitnessStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::LedgerVm;
using vmattest::testing::ManualClock;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

class RetentionTest : public ::testing::Test {
 protected:
  RetentionTest() {
    const std::shared_ptr<tlog::NoteSigner> signer =
        *tlog::EcdsaNoteSigner(LedgerRig::kOrigin, key_);
    policy_ = fmt::format("log {}\nquorum none\n", signer->vkey());
    shared_ = std::make_shared<FakeLogStore::Shared>();
    FakeLogStore store(shared_);
    EXPECT_TRUE(store.Lead("before")->mine);
    const auto log = *Log::Open(store, rig_.Policy(), {});
    rig_.Populate(*log);
    EXPECT_THAT(store.Resign(), IsOk());
    Open();
  }
  void Open() {
    node_.reset();
    const std::shared_ptr<tlog::NoteSigner> signer =
        *tlog::EcdsaNoteSigner(LedgerRig::kOrigin, key_);
    auto node =
        LedgerNode::Open({.store = std::make_unique<FakeLogStore>(shared_),
                          .memory = std::make_unique<FakeWitnessStore>(),
                          .witness = std::make_unique<FakeWitnessStore>(),
                          .policy = rig_.Policy(),
                          .witnesses = *tlog::WitnessPolicy::Parse(policy_),
                          .signers = {signer},
                          .archive = DirectorySource::Reader(folder_)},
                         checkers_, clock_,
                         {.sequencer = {.self = "me"},
                          .checkpoint_interval = std::chrono::milliseconds(1)});
    ASSERT_THAT(node, IsOk());
    node_ = *std::move(node);
    while (!node_->leadership().mine) {
      std::this_thread::yield();
    }
  }
  void AwaitWitnessed() const {
    while (node_->checkpoint().witnessed < node_->log().head().size) {
      std::this_thread::yield();
    }
  }
  void Grow(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      ASSERT_EQ(rig_.Submit(node_->log(), rig_.Result("h1", 1, i % 9 != 0)),
                "");
    }
    AwaitWitnessed();
  }
  absl::Status Round(std::vector<std::string> others = {}) {
    AwaitWitnessed();
    return Retention(*node_, &rig_.authority_key(),
                     {.archive = folder_,
                      .name = "me",
                      .keep = 100,
                      .others = std::move(others)})
        .Round();
  }
  uint64_t First() const { return *node_->log().store().FirstRecord(); }
  int64_t Milli() const { return node_->GetScore(LedgerVm(1))->reading.milli; }

  TempDir dir_;
  const std::filesystem::path folder_ = dir_.path() / "archive";
  LedgerRig rig_;
  ManualClock clock_{LedgerRig::kStart};
  ThreadPool checkers_{"check", 1, 100};
  std::shared_ptr<FakeLogStore::Shared> shared_;
  const std::shared_ptr<const EcPrivateKey> key_ =
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate());
  std::string policy_;
  std::unique_ptr<LedgerNode> node_;
};

TEST_F(RetentionTest, DropsWhatTheArchiveHasAndOpensToTheSameScores) {
  Grow(700);
  EXPECT_THAT(Round(), IsOk());  // the state and its record
  EXPECT_EQ(First(), 0u);
  EXPECT_THAT(Round(), IsOk());
  const uint64_t size = node_->log().head().size;
  EXPECT_EQ(First(), size - 100);
  EXPECT_THAT(node_->log().Read(0), StatusIs(absl::StatusCode::kOutOfRange));
  const int64_t milli = Milli();
  Open();
  AwaitWitnessed();
  EXPECT_EQ(Milli(), milli);
  EXPECT_EQ(node_->log().head().size, size);
  // Archive and tail are one log, from record 0 to the newest.
  Grow(50);
  EXPECT_THAT(Round(), IsOk());
  DirectorySource source(folder_);
  const auto policy = *tlog::WitnessPolicy::Parse(policy_);
  ASSERT_OK_AND_ASSIGN(const AuditReport report,
                       Audit(source, {.log = rig_.Policy(),
                                      .witnesses = policy,
                                      .now_unix_ms = rig_.time_ms}));
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.checked, node_->log().head().size);
  EXPECT_EQ(report.vms[0].milli, Milli());
}

TEST_F(RetentionTest, WithoutTheStateTheArchiveOpensTheLog) {
  Grow(700);
  EXPECT_THAT(Round(), IsOk());
  EXPECT_THAT(Round(), IsOk());
  ASSERT_GT(First(), 0u);
  const int64_t milli = Milli();
  node_.reset();
  {
    const MutexLock lock(shared_->mutex);
    shared_->state.clear();
    shared_->state_size = 0;
  }
  Open();
  AwaitWitnessed();
  EXPECT_EQ(Milli(), milli);
}

TEST_F(RetentionTest, WaitsForEveryArchiveAndForARecordThatIsMissedLittle) {
  Grow(200);
  EXPECT_THAT(Round(), IsOk());
  EXPECT_THAT(Round(), IsOk());
  EXPECT_EQ(First(), 0u);  // less than a bundle more than are kept
  Grow(400);
  EXPECT_THAT(Round({"other"}), IsOk());
  EXPECT_THAT(Round({"other"}), StatusIs(absl::StatusCode::kFailedPrecondition,
                                         HasSubstr("other has not archived")));
  EXPECT_EQ(First(), 0u);
  FakeLogStore store(shared_);
  EXPECT_THAT(store.MarkArchived("other", node_->log().head().size), IsOk());
  EXPECT_THAT(Round({"other"}), IsOk());
  EXPECT_GT(First(), 0u);
}

}  // namespace
}  // namespace vmattest::ledger
