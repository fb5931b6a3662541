#include "daemon/embedded_verifier.h"

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/verifier_rig.h"

namespace vmattest::daemon {
namespace {

using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::SoftHost;
using testing::StatusIs;
using testing::VerifierRig;

class EmbeddedVerifierTest : public ::testing::Test {
 protected:
  gate::LaunchVerifier::HostPolicy Policy() {
    const auto policy = verifier_.GetHostPolicy({}, MonotonicTime::max());
    EXPECT_THAT(policy, IsOk());
    return policy.value_or(gate::LaunchVerifier::HostPolicy());
  }
  absl::StatusOr<std::string> Appraise() {
    return verifier_.Appraise({.evidence = builder_.BuildFile(),
                               .nonce = builder_.header.nonce,
                               .vm_uuid = builder_.header.vm_uuid},
                              MonotonicTime::max());
  }
  // What the result says; nothing unless it is signed by the verifier's key.
  token::Tier StatusOf(const std::string& ear) {
    const token::OpenedEar opened =
        token::VerifyEar(ear, rig_.keys.Published(), {.now = rig_.clock.Now()});
    EXPECT_TRUE(opened.verdict.trusted());
    return opened.ear.submodules.contains("config")
               ? opened.ear.submodules.at("config").status
               : token::Tier::kNone;
  }
  void PutFile(uint64_t revision) {
    dir_.Write("web",
               AsText(rig_.Sign(rig_.Learned(builder_, "web", revision))));
  }

  testing::TempDir dir_;
  VerifierRig rig_;
  SoftHost host_;
  testing::EvidenceBuilder builder_{host_};
  std::optional<evidence::HostIdentity> identity_ = host_.Identity();
  EmbeddedVerifier verifier_{{.hosts = rig_.hosts,
                              .references = rig_.references,
                              .orders = rig_.orders,
                              .appraiser = rig_.appraiser,
                              .store = rig_.store,
                              .identity = [this] { return identity_; },
                              .folder = dir_.path(),
                              .clock = rig_.clock}};
};

TEST_F(EmbeddedVerifierTest, WhatTheGateAsksIsInTheBooksThatAreServed) {
  PutFile(1);
  EXPECT_THAT(Policy().references, SizeIs(1));
  const auto ear = Appraise();
  ASSERT_THAT(ear, IsOk());
  EXPECT_EQ(StatusOf(*ear), token::Tier::kAffirming);
  const auto decisions = rig_.store.Decisions({.limit = 10});
  ASSERT_THAT(*decisions, SizeIs(1));
  EXPECT_EQ(decisions->front().ear, *ear);
  EXPECT_EQ(rig_.hosts.Get(host_.host_id())->ek_trust, "own");
  EXPECT_EQ(rig_.references.List(VerifierRig::AllVms)->front().name, "web");
}

TEST_F(EmbeddedVerifierTest, WhatIsPutOverTheWireCountsForTheGate) {
  ASSERT_TRUE(rig_.references
                  .PutDocument(rig_.Sign(rig_.Learned(builder_, "web")),
                               VerifierRig::AllVms)
                  ->verdict.trusted());
  EXPECT_THAT(Policy().references, SizeIs(1));
  EXPECT_EQ(StatusOf(*Appraise()), token::Tier::kAffirming);
}

TEST_F(EmbeddedVerifierTest, AFileOfALowerRevisionTakesNothingBack) {
  PutFile(2);
  EXPECT_THAT(Policy().references, SizeIs(1));
  PutFile(1);
  EXPECT_THAT(Policy().references, SizeIs(1));
  EXPECT_EQ(rig_.references.List(VerifierRig::AllVms)->front().revision, 2u);
}

TEST_F(EmbeddedVerifierTest, AFileThatNobodySignedKeepsNoOtherFromCounting) {
  dir_.Write("a-stray", "no document");
  PutFile(1);
  EXPECT_THAT(Policy().references, SizeIs(1));
}

TEST_F(EmbeddedVerifierTest, AFileCountsOnceItsSignerIsAnApprover) {
  rig_.approvers.Set({});
  PutFile(1);
  EXPECT_THAT(Policy().references, IsEmpty());
  rig_.approvers.Set({rig_.approver.public_key()});
  EXPECT_THAT(Policy().references, SizeIs(1));
}

TEST_F(EmbeddedVerifierTest, ARevokedHostGetsNothingAndItsVmsNoVerdict) {
  PutFile(1);
  const uint64_t epoch = Policy().revocation_epoch;
  ASSERT_THAT(rig_.hosts.Revoke(host_.host_id(), "sold"), IsOk());
  const auto policy = Policy();
  EXPECT_TRUE(policy.revoked);
  EXPECT_THAT(policy.references, IsEmpty());
  EXPECT_GT(policy.revocation_epoch, epoch);
  const auto ear = Appraise();
  ASSERT_THAT(ear, IsOk());
  EXPECT_NE(StatusOf(*ear), token::Tier::kAffirming);
}

TEST_F(EmbeddedVerifierTest, EvidenceOfAnotherHostIsNotOurs) {
  SoftHost other;
  testing::EvidenceBuilder builder(other);
  EXPECT_THAT(verifier_.Appraise({.evidence = builder.BuildFile(),
                                  .nonce = builder.header.nonce,
                                  .vm_uuid = builder.header.vm_uuid},
                                 MonotonicTime::max()),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(EmbeddedVerifierTest, BeforeTheTpmIsReachedThereAreReferencesOnly) {
  identity_.reset();
  PutFile(1);
  EXPECT_THAT(Policy().references, SizeIs(1));
  EXPECT_THAT(Appraise(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vmattest::daemon
