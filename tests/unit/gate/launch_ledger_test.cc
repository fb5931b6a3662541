// What the launch gate asks of the trust ledger, and tells it.
#include "gate/launch_ledger.h"

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "unit/gate/gate_bed.h"

namespace vmattest::gate {
namespace {

using reference::GateMode;
using testing::GateBed;

class ScriptedLedger final : public LaunchLedger {
 public:
  std::optional<Judgement> CheckHome(const std::string& /*vm_uuid*/,
                                     MonotonicTime /*deadline*/) override {
    ++asked;
    return elsewhere ? std::optional(Deny("gate-home", "it lives on host-9"))
                     : std::nullopt;
  }
  absl::Status Decided(const Decision& decision,
                       MonotonicTime /*deadline*/) override {
    told.push_back(decision);
    return full ? absl::ResourceExhaustedError("full") : absl::OkStatus();
  }
  void Tick(const std::vector<Looked>& /*running*/) override {}

  bool elsewhere = false;
  bool full = false;
  int asked = 0;
  std::vector<Decision> told;
};

class LaunchLedgerTest : public ::testing::Test {
 protected:
  LaunchLedgerTest() {
    bed_.ledger = &ledger_;
    bed_.OpenPolicy(GateMode::kEnforce);
  }
  void SetUp() override {
    const auto end = bed_.clock.Monotonic() + std::chrono::seconds(30);
    while (!bed_.signer.state().tpm.ok() && bed_.clock.Monotonic() < end) {
      (void)bed_.evidence.ReadClock(end);
    }
  }
  ScriptedLedger ledger_;
  GateBed bed_;
};

TEST_F(LaunchLedgerTest, AStartThatIsLetInIsToldOnceWithItsRoot) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
  EXPECT_TRUE(ledger_.told.empty());
  EXPECT_TRUE(bed_.Ask("web", "start").allowed);
  ASSERT_EQ(ledger_.told.size(), 1U);
  EXPECT_TRUE(ledger_.told[0].allowed);
  EXPECT_EQ(ledger_.told[0].vm_uuid, GateBed::Uuid("web"));
  EXPECT_EQ(ledger_.told[0].config_root.size(), 32U);
  EXPECT_EQ(ledger_.told[0].mode, "enforce");
  EXPECT_FALSE(ledger_.told[0].ear.empty());
}

TEST_F(LaunchLedgerTest, AMigrationIsToldWhenItStartsAndNotBefore) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_EQ(bed_.Ask("web", "migrate").basis, Basis::kDeferred);
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
  EXPECT_TRUE(ledger_.told.empty());
  EXPECT_TRUE(bed_.Ask("web", "start").allowed);
  ASSERT_EQ(ledger_.told.size(), 1U);
  EXPECT_TRUE(ledger_.told[0].allowed);
}

TEST_F(LaunchLedgerTest, ARefusalIsToldWithItsCode) {
  EXPECT_FALSE(bed_.Ask("stranger", "prepare").allowed);
  ASSERT_EQ(ledger_.told.size(), 1U);
  EXPECT_FALSE(ledger_.told[0].allowed);
  EXPECT_EQ(ledger_.told[0].code, "gate-no-reference");
}

TEST_F(LaunchLedgerTest, S20_AVmThatLivesElsewhereIsRefusedAtPrepare) {
  bed_.Approve("web", GateMode::kEnforce);
  ledger_.elsewhere = true;
  const GateReply reply = bed_.Ask("web", "prepare");
  EXPECT_FALSE(reply.allowed);
  EXPECT_EQ(reply.code, "gate-home");
  EXPECT_EQ(ledger_.asked, 1);
}

TEST_F(LaunchLedgerTest, WhatCannotBeWrittenDownDoesNotStartUnderEnforce) {
  bed_.Approve("web", GateMode::kEnforce);
  ledger_.full = true;
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
  const GateReply reply = bed_.Ask("web", "start");
  EXPECT_FALSE(reply.allowed);
  EXPECT_EQ(reply.code, "gate-ledger");
  EXPECT_TRUE(reply.ear.empty());
}

TEST_F(LaunchLedgerTest, InWarnItStartsAndIsToldWithWhatWasWrong) {
  bed_.Approve("web", GateMode::kWarn);
  ledger_.elsewhere = true;
  ledger_.full = true;
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
  const GateReply reply = bed_.Ask("web", "start");
  EXPECT_TRUE(reply.allowed);
  ASSERT_EQ(ledger_.told.size(), 1U);
  EXPECT_EQ(ledger_.told[0].basis, Basis::kWarn);
  EXPECT_EQ(ledger_.told[0].code, "gate-home");
}

}  // namespace
}  // namespace vmattest::gate
