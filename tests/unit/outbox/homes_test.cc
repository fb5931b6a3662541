#include "outbox/homes.h"

#include "unit/outbox/outbox_rig.h"

namespace vmattest::outbox {
namespace {

using vmattest::testing::Decision;
using vmattest::testing::IsOk;
using vmattest::testing::ManualClock;
using vmattest::testing::OutboxRig;
using vmattest::testing::TestLedger;
using vmattest::testing::VmNumber;

class S20_OneHome : public ::testing::Test {
 protected:
  S20_OneHome() {
    here_.Start();
    there_.Start();
    EXPECT_THAT(here_.box().Launch(Decision(1, true), false), IsOk());
    here_.Drain();
  }
  Homes::Answer Ask(OutboxRig& rig, uint8_t vm) {
    return rig.homes()
        .Find(VmNumber(vm), rig.host(), MonotonicTime::max())
        .answer;
  }

  ManualClock clock_;
  TestLedger ledger_{clock_};
  OutboxRig here_{ledger_, clock_, "h1"};
  OutboxRig there_{ledger_, clock_, "h2"};
};

TEST_F(S20_OneHome, IsWhereItWasStarted) {
  EXPECT_EQ(Ask(here_, 1), Homes::Answer::kHere);
  EXPECT_EQ(Ask(there_, 1), Homes::Answer::kElsewhere);
  EXPECT_EQ(Ask(here_, 9), Homes::Answer::kUnregistered);
  ASSERT_THAT(
      here_.authority().Register(VmNumber(2), "bob", MonotonicTime::max()),
      IsOk());
  EXPECT_EQ(Ask(here_, 2), Homes::Answer::kNone);
}

TEST_F(S20_OneHome, OutlivesAnOutageForItsTime) {
  ledger_.cut = true;
  EXPECT_EQ(Ask(here_, 1), Homes::Answer::kHere);
  EXPECT_EQ(Ask(there_, 1), Homes::Answer::kUnknown);
  clock_.Advance(std::chrono::hours(25));
  EXPECT_EQ(Ask(here_, 1), Homes::Answer::kUnknown);
  ledger_.cut = false;
}

TEST_F(S20_OneHome, ARecordThatSomebodyWroteIsNone) {
  ASSERT_THAT(
      there_.file().PutHome(
          VmNumber(1), {.host = "h2",
                        .epoch = 1,
                        .as_of_ms = clock_.Now().time_since_epoch().count(),
                        .signature = Bytes(64, 7)}),
      IsOk());
  // Another VM's, copied.
  ASSERT_OK_AND_ASSIGN(const auto own, here_.file().FindHome(VmNumber(1)));
  ASSERT_TRUE(own.has_value());
  ASSERT_THAT(here_.file().PutHome(VmNumber(3), *own), IsOk());
  // Made younger.
  OutboxFile::Home younger = *own;
  younger.as_of_ms += 1;
  ASSERT_THAT(here_.file().PutHome(VmNumber(1), younger), IsOk());
  ledger_.cut = true;
  EXPECT_EQ(Ask(there_, 1), Homes::Answer::kUnknown);
  EXPECT_EQ(Ask(here_, 3), Homes::Answer::kUnknown);
  EXPECT_EQ(Ask(here_, 1), Homes::Answer::kUnknown);
  ledger_.cut = false;
}

TEST_F(S20_OneHome, ARecordGoesWhenTheLedgerNamesAnother) {
  LedgerPort::Vm moved{.home = "h2"};
  ASSERT_THAT(here_.homes().Note(VmNumber(1), moved, "h1"), IsOk());
  EXPECT_FALSE(here_.file().FindHome(VmNumber(1))->has_value());
}

TEST_F(S20_OneHome, IsWrittenAnewOnlyIfItSaysSomethingElseOrIsAMinuteOld) {
  const auto kept = [this] { return **here_.file().FindHome(VmNumber(1)); };
  LedgerPort::Vm said{.home = "h1", .epoch = kept().epoch};
  const auto note = [&] { return here_.homes().Note(VmNumber(1), said, "h1"); };
  const int64_t first = kept().as_of_ms;
  clock_.Advance(std::chrono::seconds(59));
  ASSERT_THAT(note(), IsOk());
  EXPECT_EQ(kept().as_of_ms, first);
  clock_.Advance(std::chrono::seconds(1));
  ASSERT_THAT(note(), IsOk());
  EXPECT_EQ(kept().as_of_ms, first + 60'000);

  ++said.epoch;
  ASSERT_THAT(note(), IsOk());
  EXPECT_EQ(kept().epoch, said.epoch);
  // One that somebody wrote is no reason to leave it.
  OutboxFile::Home forged = kept();
  forged.signature = Bytes(64, 7);
  ASSERT_THAT(here_.file().PutHome(VmNumber(1), forged), IsOk());
  ASSERT_THAT(note(), IsOk());
  EXPECT_NE(kept().signature, forged.signature);
}

TEST_F(S20_OneHome, SecondAllowedLaunchElsewhereIsRefusedByTheLedger) {
  ASSERT_OK_AND_ASSIGN(const int64_t id,
                       there_.box().Launch(Decision(1, true), true));
  EXPECT_FALSE(there_.box().AwaitCommitted(id, MonotonicTime::max()).ok());
  EXPECT_EQ(ledger_.node().GetScore(VmNumber(1))->reading.vm.host, "h1");
}

TEST_F(S20_OneHome, IsAskedForAgainBeforeItRunsOut) {
  clock_.Advance(std::chrono::hours(13));
  const int64_t now = clock_.Now().time_since_epoch().count();
  ASSERT_THAT(here_.homes().RefreshOldest("h1", MonotonicTime::max()), IsOk());
  EXPECT_EQ((*here_.file().FindHome(VmNumber(1)))->as_of_ms, now);
}

}  // namespace
}  // namespace vmattest::outbox
