#include "gate/policy_store.h"

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "unit/gate/gate_bed.h"

namespace vmattest::gate {
namespace {

using reference::GateMode;
using testing::GateBed;
using testing::IsOk;
using testing::SignedOrder;
using testing::StatusIs;

class PolicyStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto end = bed_.clock.Monotonic() + std::chrono::seconds(30);
    while (!bed_.signer.state().tpm.ok() && bed_.clock.Monotonic() < end) {
      (void)bed_.evidence.ReadClock(end);
    }
  }
  Bytes Order(char serial, int64_t valid_ms = 60'000) {
    return Order(serial, valid_ms, bed_.approver);
  }
  Bytes Order(char serial, int64_t valid_ms, const document::PrivateKey& key) {
    return SignedOrder(key, bed_.clock.Now(), GateBed::Uuid("web"), host_,
                       serial, valid_ms);
  }
  size_t Take(const LaunchVerifier::HostPolicy& policy) {
    return bed_.policy->Take(policy, bed_.clock.Now()).value_or(99);
  }
  absl::Status Use() {
    return bed_.policy
        ->UseBreakGlass(GateBed::Uuid("web"), host_, bed_.clock.Now())
        .status();
  }

  GateBed bed_;
  const std::string host_ = std::string(64, 'a');
};

TEST_F(PolicyStoreTest, AnOrderOfTheVerifiersIsUsedOnceThoughItIsSentAgain) {
  const LaunchVerifier::HostPolicy policy = {.break_glass = {Order('a')}};
  EXPECT_EQ(Take(policy), 1U);
  EXPECT_EQ(Take(policy), 0U);
  EXPECT_THAT(Use(), IsOk());
  EXPECT_THAT(Use(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Take(policy), 0U);
  bed_.OpenPolicy(GateMode::kEnforce);
  EXPECT_EQ(Take(policy), 0U);
  EXPECT_THAT(Use(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PolicyStoreTest, AnOrderOutlivesTheDaemonUntilItIsUsed) {
  EXPECT_EQ(Take({.break_glass = {Order('a')}}), 1U);
  bed_.OpenPolicy(GateMode::kEnforce);
  EXPECT_THAT(Use(), IsOk());
}

TEST_F(PolicyStoreTest, OrdersThatNoApproverSignedOrThatRanOutAreNotTaken) {
  const document::PrivateKey stranger =
      *document::PrivateKey::Generate("stranger", std::nullopt);
  Bytes tampered = Order('b');
  tampered[tampered.size() / 2] ^= 1;
  EXPECT_EQ(Take({.break_glass = {Order('a', 60'000, stranger),
                                  tampered,
                                  Order('c', -1),
                                  ToBytes("no document"),
                                  {}}}),
            0U);
  EXPECT_THAT(Use(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PolicyStoreTest, TheRevocationEpochOnlyGrows) {
  const auto epoch = [this] {
    return bed_.policy->For(GateBed::Uuid("web"), bed_.clock.Now())
        .revocation_epoch;
  };
  Take({.revocation_epoch = 3});
  Take({.revocation_epoch = 2});
  EXPECT_EQ(epoch(), 3U);
  bed_.OpenPolicy(GateMode::kEnforce);
  EXPECT_EQ(epoch(), 3U);
}

TEST_F(PolicyStoreTest, S16_ANewRevocationEpochVoidsKeptVerdicts) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kVerdict);
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kKeptVerdict);
  Take({.revocation_epoch = 1});
  bed_.verifier.failure = absl::UnavailableError("connection refused");
  const GateReply reply = bed_.Ask("web", "prepare");
  EXPECT_FALSE(reply.allowed);
  EXPECT_EQ(reply.code, "gate-verifier");
}

TEST_F(PolicyStoreTest, ApproversThatAreReadAgainCountFromThenOn) {
  const document::PrivateKey second =
      *document::PrivateKey::Generate("second", std::nullopt);
  const auto mode = [this](const std::string& vm) {
    return bed_.policy->For(GateBed::Uuid(vm), bed_.clock.Now()).reference;
  };
  const auto by_second = [&] {
    return LaunchVerifier::HostPolicy{
        .references = {bed_.Reference("db", GateMode::kWarn, 1, second)}};
  };
  bed_.Approve("web", GateMode::kWarn);
  EXPECT_EQ(Take(by_second()), 0U);
  bed_.dir.Write("approvers/b.pub",
                 document::PublicKeyToJson(second.public_key()));
  EXPECT_THAT(bed_.policy->ReloadApprovers(), IsOk());
  EXPECT_EQ(Take(by_second()), 1U);
  EXPECT_TRUE(mode("web").has_value());
  // Who is gone has approved nothing any more.
  std::filesystem::remove(bed_.dir.path() / "approvers/a.pub");
  EXPECT_THAT(bed_.policy->ReloadApprovers(), IsOk());
  EXPECT_FALSE(mode("web").has_value());
  EXPECT_TRUE(mode("db").has_value());
  // A folder that cannot be read changes nothing.
  bed_.dir.Write("approvers/c.pub", "no key");
  EXPECT_FALSE(bed_.policy->ReloadApprovers().ok());
  EXPECT_TRUE(mode("db").has_value());
}

}  // namespace
}  // namespace vmattest::gate
