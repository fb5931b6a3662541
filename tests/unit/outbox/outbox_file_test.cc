#include "outbox/outbox_file.h"

#include <fstream>

#include "unit/outbox/outbox_rig.h"

namespace vmattest::outbox {
namespace {

using vmattest::testing::Decision;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;
using vmattest::testing::VmNumber;

class OutboxFileTest : public ::testing::Test {
 protected:
  void Open(const std::string& origin = "ledger.example/a") {
    file_ = *OutboxFile::Open(dir_.path() / "outbox.db", origin);
  }
  int64_t Add(uint8_t vm, bool allowed) {
    v1::LedgerEntryBody body;
    *body.mutable_launch_decision() = Decision(vm, allowed);
    return *file_->Add(7, body);
  }
  void SignAndCommit(uint64_t sequence) {
    OutboxFile::Queued queued = **file_->Oldest();
    queued.sequence = sequence;
    queued.hash = Bytes(32, static_cast<uint8_t>(sequence));
    queued.entry = Bytes(10, 1);
    ASSERT_THAT(file_->Sign(queued), IsOk());
    ASSERT_THAT(file_->Commit(queued.id, 100 + sequence), IsOk());
  }

  TempDir dir_;
  std::unique_ptr<OutboxFile> file_;
};

TEST_F(OutboxFileTest, KeepsOrderAndStateAcrossReopening) {
  Open();
  Add(1, true);
  Add(2, false);
  SignAndCommit(1);
  file_.reset();
  Open();
  EXPECT_EQ((*file_->Oldest())->body.launch_decision().vm_id(),
            FieldOf(VmNumber(2)));
  EXPECT_EQ(file_->LastCommitted()->sequence, 1);
  EXPECT_EQ(file_->Count()->waiting, 1);
  EXPECT_EQ(file_->Count()->unwitnessed, 1);
}

TEST_F(OutboxFileTest, ForgetsOnlyWhatIsWitnessed) {
  Open();
  for (uint8_t vm = 1; vm <= 3; ++vm) {
    Add(vm, true);
    SignAndCommit(vm);
  }
  ASSERT_THAT(file_->Forget(102), IsOk());  // record 101 is sequence 1
  EXPECT_EQ(file_->Count()->unwitnessed, 2);
  EXPECT_EQ(file_->LastWitnessed()->sequence, 1);
  EXPECT_EQ(*file_->Uncommit(1), 2);
  EXPECT_EQ(file_->LastCommitted()->sequence, 1);
  EXPECT_EQ((*file_->Oldest())->sequence, 2);
}

TEST_F(OutboxFileTest, WhatIsSignedIsNotReplaced) {
  Open();
  const int64_t id = Add(1, false);
  OutboxFile::Queued queued = **file_->Oldest();
  queued.entry = Bytes(3, 1);
  ASSERT_THAT(file_->Sign(queued), IsOk());
  EXPECT_THAT(file_->Replace(id, 8, queued.body),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(
      file_->NewestUnsigned(v1::LedgerEntryBody::kLaunchDecision)->has_value());
}

TEST_F(OutboxFileTest, WhatWaitsGoesToAnotherLedgerIfThatIsItsNow) {
  Open();
  Add(1, true);
  SignAndCommit(1);
  Add(2, false);
  file_.reset();
  Open("ledger.example/b");
  EXPECT_EQ(file_->LastCommitted()->sequence, 0);
  EXPECT_EQ(file_->Count()->waiting, 1);
  EXPECT_EQ(file_->Count()->unwitnessed, 0);
  file_.reset();
  Open("ledger.example/b");
  EXPECT_EQ(file_->Count()->waiting, 1);
}

TEST_F(OutboxFileTest, RefusesAFileOfAnotherKind) {
  std::ofstream(dir_.path() / "outbox.db") << "no database at all, but long";
  EXPECT_FALSE(OutboxFile::Open(dir_.path() / "outbox.db", "a").ok());
}

}  // namespace
}  // namespace vmattest::outbox
