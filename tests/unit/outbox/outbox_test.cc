#include "outbox/outbox.h"

#include "unit/outbox/outbox_rig.h"

namespace vmattest::outbox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using vmattest::testing::Decision;
using vmattest::testing::IsOk;
using vmattest::testing::Looked;
using vmattest::testing::ManualClock;
using vmattest::testing::OutboxRig;
using vmattest::testing::StatusIs;
using vmattest::testing::TestLedger;
using vmattest::testing::VmNumber;

class OutboxTest : public ::testing::Test {
 protected:
  static void Launch(OutboxRig& rig, uint8_t vm, bool allowed) {
    ASSERT_THAT(rig.box().Launch(Decision(vm, allowed), false), IsOk());
    rig.Drain();
  }
  void Tick(OutboxRig& rig, std::vector<v1::LedgerVmChange> results) {
    clock_.Advance(std::chrono::seconds(5));
    ASSERT_THAT(rig.box().Tick(std::move(results)), IsOk());
  }

  ManualClock clock_;
  TestLedger ledger_{clock_};
  OutboxRig rig_{ledger_, clock_};
};

TEST_F(OutboxTest, LaunchesAndTicksBecomeTheScore) {
  rig_.Start();
  Launch(rig_, 1, true);
  EXPECT_EQ(ledger_.MilliOf(VmNumber(1)), 100'000);
  Launch(rig_, 1, false);
  EXPECT_EQ(ledger_.MilliOf(VmNumber(1)), 80'000);
  Tick(rig_, {Looked(1, true)});
  rig_.DrainWitnessed();
  EXPECT_EQ(ledger_.MilliOf(VmNumber(1)) / 1'000, 84);  // +5, a little decay
  Tick(rig_, {Looked(1, false)});
  rig_.Drain();
  EXPECT_EQ(ledger_.MilliOf(VmNumber(1)) / 1'000, 64);
  EXPECT_THAT(ledger_.TypesBy("h1"),
              ElementsAre("launch-decision", "launch-decision", "attest-batch",
                          "attest-batch"));
  EXPECT_THAT(rig_.box().state().health, IsOk());
}

TEST_F(OutboxTest, EntriesNameTheTpmsClockIfItTold) {
  rig_.Start();
  rig_.tpm_clock = {.clock_ms = 90, .reset_count = 4, .safe = true};
  Launch(rig_, 1, true);
  rig_.tpm_clock.reset();
  Launch(rig_, 1, true);
  const std::vector<v1::LedgerEntryBody> entries = ledger_.EntriesBy("h1");
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].clock().clock_ms(), 90U);
  EXPECT_EQ(entries[0].clock().reset_count(), 4U);
  EXPECT_TRUE(entries[0].clock().safe());
  EXPECT_FALSE(entries[1].has_clock());
}

TEST_F(OutboxTest, AVmThatIsNotSeenAnyMoreIsToldAsStoppedOnce) {
  rig_.Start();
  Launch(rig_, 1, true);
  Tick(rig_, {Looked(1, true)});
  Tick(rig_, {});
  Tick(rig_, {});
  rig_.Drain();
  EXPECT_FALSE(ledger_.node().GetScore(VmNumber(1))->reading.vm.running);
  EXPECT_THAT(ledger_.TypesBy("h1"), SizeIs(3));
}

TEST_F(OutboxTest, UnchangedVmsAreCountedAndNotNamed) {
  rig_.Start();
  Launch(rig_, 1, true);
  Launch(rig_, 2, true);
  Tick(rig_, {Looked(1, true), Looked(2, true)});
  rig_.Drain();
  Tick(rig_, {Looked(1, true), Looked(2, true)});
  rig_.Drain();
  const auto newest = ledger::ParseEntry(
      ledger_.node().log().Read(ledger_.node().log().head().size - 1)->entry);
  EXPECT_EQ(newest->body.attest_batch().unchanged(), 2);
  EXPECT_EQ(newest->body.attest_batch().changes_size(), 0);
  EXPECT_EQ(newest->body.attest_batch().vm_count(), 2);
}

TEST_F(OutboxTest, EvidenceThatWasGivenOutIsNamedAndRaisesNoScore) {
  rig_.Start();
  Launch(rig_, 1, true);
  Launch(rig_, 2, true);
  Tick(rig_, {Looked(1, true), Looked(2, true)});
  rig_.Drain();
  v1::LedgerVmChange attested = Looked(1, true);
  attested.set_evidence_hash(std::string(32, 'e'));
  Tick(rig_, {attested, Looked(2, true)});
  // It is not merged with what comes next, either.
  Tick(rig_, {Looked(1, true), Looked(2, true)});
  rig_.Drain();
  ledger::Log& log = ledger_.node().log();
  int named = 0;
  for (uint64_t i = 0; i < log.head().size; ++i) {
    const auto entry = ledger::ParseEntry(log.Read(i)->entry);
    for (const auto& change : entry->body.attest_batch().changes()) {
      named += change.evidence_hash() == std::string(32, 'e') ? 1 : 0;
    }
  }
  EXPECT_EQ(named, 1);
  const auto one = ledger_.node().GetScore(VmNumber(1))->reading;
  const auto two = ledger_.node().GetScore(VmNumber(2))->reading;
  EXPECT_EQ(one.milli, two.milli);
  EXPECT_EQ(one.vm.passes, two.vm.passes);
}

TEST_F(OutboxTest, AfterSilenceAllAreNamed) {
  rig_.Start();
  Launch(rig_, 1, true);
  Tick(rig_, {Looked(1, true)});
  rig_.Drain();
  clock_.Advance(std::chrono::minutes(3));
  Tick(rig_, {Looked(1, true)});
  rig_.DrainWitnessed();
  EXPECT_EQ(rig_.box().state().counts.refused, 0);
  EXPECT_EQ(ledger_.node().GetScore(VmNumber(1))->reading.vm.silences, 3);
}

TEST_F(OutboxTest, WhatWaitedIsWrittenInOrderAndOnce) {
  rig_.Start();
  Launch(rig_, 1, true);
  ledger_.cut = true;
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(rig_.box().Launch(Decision(1, i % 2 == 0), false), IsOk());
  }
  v1::LedgerNotice event;
  event.set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
  event.set_text("libvirt-lost");
  ASSERT_THAT(rig_.box().Event(event), IsOk());
  while (rig_.box().state().health.ok()) {
    std::this_thread::yield();
  }
  EXPECT_THAT(
      rig_.box().state().health,
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("6 entries wait")));
  ledger_.cut = false;
  rig_.Drain();
  EXPECT_THAT(ledger_.TypesBy("h1"), SizeIs(7));
  EXPECT_EQ(ledger_.TypesBy("h1").back(), "host-event");
  EXPECT_EQ(ledger_.MilliOf(VmNumber(1)), 60'000);
}

TEST_F(OutboxTest, ALostAnswerAndAKilledProcessCountNothingTwice) {
  rig_.Start();
  Launch(rig_, 1, true);
  ledger_.lose_answer = true;
  ASSERT_THAT(rig_.box().Launch(Decision(1, false), false), IsOk());
  while (!ledger_.cut) {
    std::this_thread::yield();
  }
  ASSERT_THAT(rig_.box().Launch(Decision(1, false), false), IsOk());
  rig_.Restart();
  ledger_.cut = false;
  rig_.DrainWitnessed();
  EXPECT_THAT(ledger_.TypesBy("h1"), SizeIs(3));
  EXPECT_EQ(ledger_.MilliOf(VmNumber(1)), 60'000);
}

TEST_F(OutboxTest, WhatTheLedgerLostIsSentAgain) {
  ledger_.witnessed = false;
  ledger_.Open();
  rig_.Start();
  Launch(rig_, 1, true);
  const auto older = ledger_.Copy();
  Launch(rig_, 1, false);
  Launch(rig_, 1, false);
  ledger_.cut = true;
  while (rig_.box().state().counts.waiting == 0 &&
         !rig_.box().Launch(Decision(1, false), false).ok()) {
  }
  ledger_.RollBackTo(older);
  EXPECT_EQ(ledger_.TypesBy("h1").size(), 1);
  ledger_.cut = false;
  rig_.Drain();
  EXPECT_THAT(ledger_.TypesBy("h1"), SizeIs(4));
  EXPECT_EQ(ledger_.MilliOf(VmNumber(1)), 40'000);
  EXPECT_EQ(rig_.box().state().resent, 2);
  EXPECT_THAT(rig_.box().state().health, IsOk());
}

TEST_F(OutboxTest, ALedgerThatLostWhatWasWitnessedIsNamed) {
  rig_.Start();
  Launch(rig_, 1, true);
  const auto older = ledger_.Copy();
  Launch(rig_, 1, false);
  rig_.DrainWitnessed();
  ledger_.cut = true;
  ASSERT_THAT(rig_.box().Launch(Decision(1, false), false), IsOk());
  ledger_.RollBackTo(older);
  ledger_.cut = false;
  rig_.Drain();
  EXPECT_THAT(rig_.box().state().health, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ledger_.TypesBy("h1"), SizeIs(2));  // what waited is not lost
  EXPECT_EQ(rig_.box().state().counts.refused, 0);
}

TEST_F(OutboxTest, AVmThatNobodyRegisteredIsNamedAndStopsNothing) {
  rig_.Start(1'000, /*registers=*/false);
  ASSERT_THAT(
      rig_.authority().Register(VmNumber(2), "bob", MonotonicTime::max()),
      IsOk());
  ASSERT_OK_AND_ASSIGN(const int64_t id,
                       rig_.box().Launch(Decision(1, true), true));
  EXPECT_THAT(rig_.box().AwaitCommitted(id, MonotonicTime::max()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("ledger-vm-unknown")));
  ASSERT_OK_AND_ASSIGN(const int64_t other,
                       rig_.box().Launch(Decision(2, true), true));
  EXPECT_THAT(rig_.box().AwaitCommitted(other, MonotonicTime::max()), IsOk());
  EXPECT_EQ(rig_.box().state().counts.refused, 1);
  EXPECT_THAT(rig_.box().state().counts.last_refusal,
              HasSubstr("ledger-vm-unknown"));
}

TEST_F(OutboxTest, AVmThatChangedMeanwhileIsSignedAnew) {
  rig_.Start();
  Launch(rig_, 1, true);
  v1::LedgerEntryBody body;
  const auto before = ledger_.node().GetScore(VmNumber(1));
  // Somebody else's entry about the VM: the host's chain of it is stale.
  body.mutable_vm_register()->set_vm_id(FieldOf(VmNumber(1)));
  body.mutable_vm_register()->set_owner("bob");
  body.mutable_vm_register()->set_vm_previous(
      std::string(AsText(before->newest_hash)));
  const document::PrivateKey key = ledger_.AuthorityKey();
  const auto writer = ledger_.GetWriter("key/" + ToHex(key.public_key().key_id),
                                        MonotonicTime::max());
  body.set_log(TestLedger::kOrigin);
  body.set_sequence(writer->sequence + 1);
  body.set_previous(std::string(AsText(writer->last_hash)));
  body.set_time_unix_ms(clock_.Now().time_since_epoch().count());
  ASSERT_FALSE(
      ledger_
          .Submit(*ledger::SignAuthorityEntry(body, key), MonotonicTime::max())
          ->refusal.has_value());
  Launch(rig_, 1, false);
  EXPECT_EQ(rig_.box().state().counts.refused, 0);
  EXPECT_EQ(ledger_.MilliOf(VmNumber(1)), 80'000);
}

TEST_F(OutboxTest, AFullQueueLosesNoFailureAndRefusesAllowedLaunches) {
  ledger_.cut = true;
  rig_.Start(4);
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(rig_.box().Launch(Decision(1, true), false), IsOk());
  }
  Tick(rig_, {Looked(1, true), Looked(2, true)});
  EXPECT_EQ(rig_.box().state().counts.waiting, 4);
  EXPECT_THAT(rig_.box().Launch(Decision(1, true), false),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(rig_.box().Event({}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  Tick(rig_, {Looked(1, false), Looked(2, true)});
  Tick(rig_, {Looked(1, true), Looked(2, false)});
  ASSERT_THAT(rig_.box().Launch(Decision(3, false), false), IsOk());
  ASSERT_THAT(rig_.box().Launch(Decision(3, false), false), IsOk());
  EXPECT_EQ(rig_.box().state().counts.waiting, 5);
  EXPECT_EQ(rig_.box().state().merged, 3);
  EXPECT_EQ(rig_.box().state().dropped, 1);
  ASSERT_OK_AND_ASSIGN(
      const auto waits,
      rig_.file().NewestUnsigned(v1::LedgerEntryBody::kAttestBatch));
  for (const v1::LedgerVmChange& change :
       waits->body.attest_batch().changes()) {
    EXPECT_EQ(change.outcome(), v1::LEDGER_OUTCOME_FAIL);
  }
  ledger_.cut = false;
  rig_.Drain();
}

TEST_F(OutboxTest, RunsOfPassesWaitAsOneEntry) {
  rig_.Start();
  Launch(rig_, 1, true);
  ledger_.cut = true;
  ASSERT_THAT(rig_.box().Launch(Decision(1, true), false), IsOk());
  for (int i = 0; i < 100; ++i) {
    Tick(rig_, {Looked(1, true)});
  }
  EXPECT_EQ(rig_.box().state().counts.waiting, 2);
  EXPECT_EQ(rig_.box().state().merged, 99);
  ledger_.cut = false;
  rig_.Drain();
}

TEST_F(OutboxTest, MoreFailuresThanABatchHoldsAreAllTold) {
  rig_.Start();
  std::vector<v1::LedgerVmChange> results;
  for (int vm = 0; vm < 255; ++vm) {
    results.push_back(Looked(static_cast<uint8_t>(vm), false));
  }
  for (int vm = 0; vm < 50; ++vm) {
    v1::LedgerVmChange result = Looked(0, false);
    Uuid id = VmNumber(static_cast<uint8_t>(vm));
    id.bytes[1] = 1;
    result.set_vm_id(FieldOf(id));
    results.push_back(result);
  }
  ledger_.cut = true;
  Tick(rig_, results);
  EXPECT_EQ(rig_.box().state().counts.waiting, 1 + 305 - 256);
}

TEST_F(OutboxTest, AHostThatIsNotAuthorisedKeepsItsQueue) {
  ASSERT_THAT(
      rig_.authority().Register(VmNumber(1), "bob", MonotonicTime::max()),
      IsOk());
  OutboxRig other{ledger_, clock_, "h2"};
  Outbox box(
      {.file = other.file(),
       .ledger = ledger_,
       .homes = other.homes(),
       .key = std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()),
       .clock = clock_,
       .host_id = [] { return std::string("h2"); },
       .authorise = {},
       .register_vm = {}},
      {.origin = TestLedger::kOrigin});
  ASSERT_THAT(box.Launch(Decision(1, true), false), IsOk());
  while (box.state().health.ok()) {
    std::this_thread::yield();
  }
  EXPECT_THAT(
      box.state().health,
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("authorise")));
  EXPECT_EQ(box.state().counts.waiting, 1);
}

}  // namespace
}  // namespace vmattest::outbox
