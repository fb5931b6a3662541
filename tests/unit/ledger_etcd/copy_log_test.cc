#include "ledger/copy_log.h"

#include "fakes/fake_key_values.h"
#include "fakes/fake_log_store.h"
#include "gmock/gmock.h"
#include "ledger/etcd/etcd_log_store.h"
#include "ledger/log.h"
#include "support/ledger_rig.h"
#include "support/matchers.h"

namespace vmattest::ledger {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::FakeKeyValues;
using vmattest::testing::FakeLogStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::StatusIs;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

class CopyLogTest : public ::testing::Test {
 protected:
  CopyLogTest() {
    EXPECT_TRUE(from_.Lead("here")->mine);
    log_ = *Log::Open(from_, rig_.Policy(), {});
    rig_.Populate(*log_);
  }
  absl::Status Copy() {
    return CopyLog(from_, *to_, [this](uint64_t done, uint64_t of) {
      done_ = {done, of};
    });
  }

  LedgerRig rig_;
  FakeLogStore from_;
  std::unique_ptr<Log> log_;
  FakeKeyValues etcd_;
  std::unique_ptr<EtcdLogStore> to_ =
      EtcdLogStore::Open(etcd_, {.prefix = "/l/"}).value();
  std::pair<uint64_t, uint64_t> done_;
};

TEST_F(CopyLogTest, ProofsHoldAcrossTheMove) {
  ASSERT_THAT(from_.PutCheckpoint({.size = 3, .note = "note\n"}), IsOk());
  const LogHead head = log_->head();
  ASSERT_OK_AND_ASSIGN(const auto inclusion, log_->InclusionProof(1, 3));
  ASSERT_OK_AND_ASSIGN(const auto consistency,
                       log_->ConsistencyProof(3, head.size));
  ASSERT_THAT(Copy(), IsOk());
  EXPECT_EQ(done_, std::pair(head.size, head.size));
  EXPECT_EQ(*to_->Head(), head);
  EXPECT_EQ((*to_->Checkpoint())->note, "note\n");
  // Whoever trusts what it was continues.
  ASSERT_OK_AND_ASSIGN(
      const auto moved,
      Log::Open(*to_, rig_.Policy(), {.size = head.size, .root = head.root}));
  EXPECT_EQ(*moved->InclusionProof(1, 3), inclusion);
  EXPECT_EQ(*moved->ConsistencyProof(3, head.size), consistency);
  ASSERT_TRUE(to_->Lead("next")->mine);
  EXPECT_EQ(rig_.Submit(*moved, rig_.Result("h1", 2, true)), "");
  EXPECT_EQ(to_->Head()->size, head.size + 1);
}

TEST_F(CopyLogTest, GoesOnWhereItWasInterrupted) {
  // Half of it, as a copy of a smaller log.
  FakeLogStore half;
  ASSERT_TRUE(half.Lead("x")->mine);
  ASSERT_OK_AND_ASSIGN(const std::vector<Bytes> records, from_.Records(0, 3));
  {
    const MutexLock lock(half.shared()->mutex);
    const MutexLock other(from_.shared()->mutex);
    for (size_t i = 0; i < records.size(); ++i) {
      half.shared()->records[i] = records[i];
    }
    half.shared()->head = {
        .size = 3,
        .root = {},
        .time_unix_ms = ParseRecord(records[2])->time_unix_ms};
  }
  ASSERT_OK_AND_ASSIGN(const Bytes root, log_->RootAt(3));
  {
    const MutexLock lock(half.shared()->mutex);
    half.shared()->head.root = root;
  }
  ASSERT_THAT(CopyLog(half, *to_, [](uint64_t, uint64_t) {}), IsOk());
  EXPECT_EQ(to_->Head()->size, 3u);
  ASSERT_THAT(Copy(), IsOk());
  EXPECT_EQ(*to_->Head(), log_->head());
  EXPECT_THAT(Log::Open(*to_, rig_.Policy(), {}), IsOk());
  ASSERT_THAT(Copy(), IsOk());  // nothing is left to do
}

TEST_F(CopyLogTest, NoticesWhatDoesNotGiveTheRoot) {
  {
    const MutexLock lock(from_.shared()->mutex);
    from_.shared()->records[1].back() ^= 1;
  }
  EXPECT_THAT(Copy(), StatusIs(kDataLoss, HasSubstr("have the root")));
  EXPECT_LT(to_->Head()->size, log_->head().size);
}

TEST_F(CopyLogTest, ADifferentLogIsNotOverwritten) {
  ASSERT_THAT(Copy(), IsOk());
  {
    const MutexLock lock(from_.shared()->mutex);
    from_.shared()->records[1].back() ^= 1;
  }
  EXPECT_THAT(Copy(), StatusIs(kDataLoss, HasSubstr("not a prefix")));
  EXPECT_EQ(*to_->Head(), log_->head());
}

TEST_F(CopyLogTest, WaitsForNoOtherLeader) {
  const auto other = EtcdLogStore::Open(etcd_, {.prefix = "/l/"}).value();
  ASSERT_TRUE(other->Lead("other")->mine);
  EXPECT_THAT(Copy(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("other leads")));
}

}  // namespace
}  // namespace vmattest::ledger
