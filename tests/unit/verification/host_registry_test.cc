#include "verification/host_registry.h"

#include "enrollment/credential.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/verifier_rig.h"
#include "vmattest/v1/document.pb.h"
#include "wire/codec.h"

namespace vmattest::verification {
namespace {

using testing::IsOk;
using testing::SoftHost;
using testing::SoftKey;
using testing::StatusIs;
using testing::VerifierRig;

constexpr char kClient[] = "spiffe://t/host-1";
constexpr auto kExists = absl::StatusCode::kAlreadyExists;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kState = absl::StatusCode::kFailedPrecondition;

class HostRegistryTest : public ::testing::Test {
 protected:
  // The authority's word, checked as whoever gets it does.
  v1::HostRecord Opened(const HostEntry& entry) {
    const document::PublicKey keys[] = {rig_.authority.public_key()};
    const document::Opened opened =
        document::Open(entry.record, document::kHostRecordPayloadType, keys);
    EXPECT_TRUE(opened.verdict.trusted());
    v1::HostRecord record;
    EXPECT_TRUE(record.ParseFromArray(opened.payload.data(),
                                      static_cast<int>(opened.payload.size())));
    return record;
  }
  // The same EK with another AK.
  SoftHost Rekeyed() {
    SoftHost other(host_.hostname);
    other.ek = host_.ek.Copy();
    return other;
  }
  std::vector<std::string> Events() {
    std::vector<std::string> codes;
    const auto events = rig_.store.After(0, 100);
    for (const DecisionEntry& event : *events) {
      codes.push_back(event.reasons.front().code);
    }
    return codes;
  }

  VerifierRig rig_;
  SoftHost host_;
};

TEST_F(HostRegistryTest, CertifiedHostIsEnrolledBySignedRecord) {
  ASSERT_OK_AND_ASSIGN(const HostEntry entry, rig_.Enroll(kClient, host_));
  EXPECT_EQ(entry.state, HostEntry::State::kEnrolled);
  EXPECT_EQ(entry.host_id, host_.host_id());
  EXPECT_EQ(entry.ek_trust, "certificate");
  EXPECT_EQ(entry.client_identity, kClient);
  EXPECT_EQ(rig_.hosts.Get(host_.host_id()).value(), entry);
  const v1::HostRecord record = Opened(entry);
  EXPECT_EQ(record.identity().host_id(), host_.host_id());
  EXPECT_EQ(record.revision(), 1u);
  EXPECT_FALSE(record.revoked());
  EXPECT_THAT(Events(), ::testing::ElementsAre("host-enrolled"));
}

TEST_F(HostRegistryTest, HostWithoutCertificateWaitsForAnOperator) {
  ASSERT_OK_AND_ASSIGN(
      const HostEntry pending,
      rig_.Enroll(kClient, host_, rig_.IdentityOf(host_, false)));
  EXPECT_EQ(pending.state, HostEntry::State::kPending);
  EXPECT_TRUE(pending.record.empty());
  EXPECT_THAT(rig_.hosts.EnrolledHostOf(kClient), StatusIs(kState));
  EXPECT_THAT(rig_.hosts.Approve(pending.host_id, SoftKey().name()),
              StatusIs(kState));
  ASSERT_OK_AND_ASSIGN(const HostEntry approved,
                       rig_.hosts.Approve(pending.host_id, host_.ak.name()));
  EXPECT_EQ(approved.state, HostEntry::State::kEnrolled);
  EXPECT_EQ(approved.ek_trust, "operator");
  EXPECT_EQ(Opened(approved).ek_trust(), "operator");
  EXPECT_THAT(rig_.hosts.EnrolledHostOf(kClient), IsOk());
}

TEST_F(HostRegistryTest, OwnHostIsAdmittedWithoutACredentialAndOnlyOnce) {
  const evidence::HostIdentity identity = rig_.IdentityOf(host_, false);
  ASSERT_OK_AND_ASSIGN(const HostEntry own, rig_.hosts.AdmitOwn(identity));
  EXPECT_EQ(own.state, HostEntry::State::kEnrolled);
  EXPECT_EQ(own.ek_trust, "own");
  EXPECT_EQ(Opened(own).identity().host_id(), host_.host_id());
  EXPECT_EQ(rig_.hosts.AdmitOwn(identity).value(), own);
  EXPECT_THAT(Events(), ::testing::ElementsAre("host-enrolled"));
  // Beside others, and other hosts that were it once.
  EXPECT_THAT(rig_.hosts.AdmitOwn(SoftHost().Identity()), IsOk());
}

TEST_F(HostRegistryTest, OwnHostThatAnOperatorRevokedStaysRevoked) {
  const evidence::HostIdentity identity = host_.Identity();
  ASSERT_THAT(rig_.hosts.AdmitOwn(identity), IsOk());
  ASSERT_THAT(rig_.hosts.Revoke(host_.host_id(), "sold"), IsOk());
  ASSERT_OK_AND_ASSIGN(const HostEntry own, rig_.hosts.AdmitOwn(identity));
  EXPECT_EQ(own.state, HostEntry::State::kRevoked);
  EXPECT_EQ(own.revocation_reason, "sold");
}

TEST_F(HostRegistryTest, OwnHostWithAnotherAkIsAnEventOfItsOwn) {
  ASSERT_THAT(rig_.hosts.AdmitOwn(host_.Identity()), IsOk());
  const SoftHost rekeyed = Rekeyed();
  ASSERT_OK_AND_ASSIGN(const HostEntry own,
                       rig_.hosts.AdmitOwn(rekeyed.Identity()));
  EXPECT_EQ(own.ak_name, rekeyed.ak.name());
  EXPECT_THAT(Events(),
              ::testing::ElementsAre("host-enrolled", "host-enrolled"));
}

TEST_F(HostRegistryTest, OwnHostMayEnrolAsAClientAndOnlyThenHasOne) {
  ASSERT_THAT(rig_.hosts.AdmitOwn(host_.Identity()), IsOk());
  EXPECT_THAT(rig_.hosts.EnrolledHostOf(kClient),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const HostEntry enrolled, rig_.Enroll(kClient, host_));
  EXPECT_EQ(enrolled.client_identity, kClient);
  EXPECT_THAT(rig_.Enroll("spiffe://t/host-2", host_), StatusIs(kDenied));
  // And its own word goes on counting.
  EXPECT_EQ(rig_.hosts.AdmitOwn(host_.Identity()).value().client_identity,
            kClient);
}

TEST_F(HostRegistryTest, OwnIdentityThatIsNoneIsNotAdmitted) {
  evidence::HostIdentity identity = host_.Identity();
  identity.host_id = std::string(64, 'a');
  EXPECT_THAT(rig_.hosts.AdmitOwn(identity), StatusIs(kState));
}

TEST_F(HostRegistryTest, CertificateOfAStrangerIsAVerdict) {
  evidence::HostIdentity identity = host_.Identity();
  identity.ek_certificate = testing::EkPki().Issue(identity.ek_public);
  ASSERT_OK_AND_ASSIGN(
      const auto begun,
      rig_.hosts.Begin(kClient, wire::EncodeHostIdentity(identity)));
  EXPECT_FALSE(begun.verdict.trusted());
  EXPECT_TRUE(begun.challenge.id.empty());
}

TEST_F(HostRegistryTest, CVE_2022_3500_NoSilentRebinding) {
  ASSERT_THAT(rig_.Enroll(kClient, host_), IsOk());
  const HostEntry before = rig_.hosts.Get(host_.host_id()).value();
  const SoftHost other = Rekeyed();
  EXPECT_THAT(rig_.Enroll(kClient, other), StatusIs(kExists));
  EXPECT_EQ(rig_.hosts.Get(host_.host_id()).value(), before);
}

TEST_F(HostRegistryTest, RebindingNeedsTheVeryAkThatWasAllowedAndOnce) {
  ASSERT_THAT(rig_.Enroll(kClient, host_), IsOk());
  const SoftHost allowed = Rekeyed();
  const SoftHost other = Rekeyed();
  const WallTime soon = rig_.clock.Now() + std::chrono::hours(1);
  ASSERT_THAT(rig_.hosts.AllowRebind(host_.host_id(), allowed.ak.name(), soon),
              IsOk());
  EXPECT_THAT(rig_.Enroll(kClient, other), StatusIs(kExists));
  ASSERT_OK_AND_ASSIGN(const HostEntry entry, rig_.Enroll(kClient, allowed));
  EXPECT_EQ(entry.ak_name, allowed.ak.name());
  // Spent: the way back needs another word.
  EXPECT_THAT(rig_.Enroll(kClient, host_), StatusIs(kExists));
}

TEST_F(HostRegistryTest, RebindPermitEnds) {
  ASSERT_THAT(rig_.Enroll(kClient, host_), IsOk());
  const SoftHost other = Rekeyed();
  const WallTime soon = rig_.clock.Now() + std::chrono::hours(1);
  ASSERT_THAT(rig_.hosts.AllowRebind(host_.host_id(), other.ak.name(), soon),
              IsOk());
  rig_.clock.Advance(std::chrono::hours(1));
  EXPECT_THAT(rig_.Enroll(kClient, other), StatusIs(kExists));
  EXPECT_THAT(rig_.hosts.AllowRebind(host_.host_id(), other.ak.name(), soon),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(HostRegistryTest, ClientSpeaksForItsOwnHostOnly) {
  ASSERT_THAT(rig_.Enroll(kClient, host_), IsOk());
  const SoftHost second("host-2");
  EXPECT_THAT(rig_.Enroll(kClient, second), StatusIs(kExists));
  EXPECT_THAT(rig_.Enroll("spiffe://t/thief", host_), StatusIs(kDenied));
  EXPECT_THAT(
      rig_.hosts.UpdateKeys("spiffe://t/thief",
                            wire::EncodeHostIdentity(rig_.IdentityOf(host_))),
      StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(HostRegistryTest, WrongProofStoresNothing) {
  ASSERT_OK_AND_ASSIGN(const auto begun,
                       rig_.hosts.Begin(kClient, wire::EncodeHostIdentity(
                                                     rig_.IdentityOf(host_))));
  EXPECT_THAT(rig_.hosts.Complete(kClient, begun.challenge.id, Bytes(32, 1)),
              StatusIs(kDenied));
  EXPECT_THAT(rig_.hosts.Get(host_.host_id()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(HostRegistryTest, NewKeysAreAddedAndNoneIsForgotten) {
  ASSERT_THAT(rig_.Enroll(kClient, host_), IsOk());
  SoftHost rotated(host_.hostname);
  rotated.ek = host_.ek.Copy();
  rotated.ak = host_.ak.Copy();
  rotated.epoch = 2;
  evidence::HostIdentity update = rig_.IdentityOf(rotated);
  update.ek_certificate.clear();
  ASSERT_OK_AND_ASSIGN(
      const HostRegistry::Updated updated,
      rig_.hosts.UpdateKeys(kClient, wire::EncodeHostIdentity(update)));
  ASSERT_TRUE(updated.verdict.trusted());
  ASSERT_OK_AND_ASSIGN(const auto identity,
                       wire::ParseHostIdentity(updated.host.identity));
  EXPECT_EQ(identity.keys.size(),
            host_.Identity().keys.size() + update.keys.size());
  EXPECT_EQ(updated.host.revision, 2u);
  EXPECT_EQ(Opened(updated.host).revision(), 2u);
}

TEST_F(HostRegistryTest, UpdateWithAnotherAkIsRefused) {
  ASSERT_THAT(rig_.Enroll(kClient, host_), IsOk());
  const auto updated = rig_.hosts.UpdateKeys(
      kClient, wire::EncodeHostIdentity(rig_.IdentityOf(Rekeyed())));
  EXPECT_FALSE(updated.ok() && updated->verdict.trusted());
  EXPECT_EQ(rig_.hosts.Get(host_.host_id())->revision, 1u);
}

TEST_F(HostRegistryTest, RevokedHostStaysOutUntilAnOperatorAllowsIt) {
  ASSERT_THAT(rig_.Enroll(kClient, host_), IsOk());
  ASSERT_OK_AND_ASSIGN(const HostEntry revoked,
                       rig_.hosts.Revoke(host_.host_id(), "stolen"));
  EXPECT_EQ(revoked.state, HostEntry::State::kRevoked);
  EXPECT_TRUE(Opened(revoked).revoked());
  EXPECT_EQ(Opened(revoked).revocation_reason(), "stolen");
  EXPECT_EQ(rig_.store.RevocationEpoch().value(), 1u);
  EXPECT_THAT(rig_.Enroll(kClient, host_), StatusIs(kState));
  EXPECT_THAT(rig_.hosts.EnrolledHostOf(kClient), StatusIs(kState));
  ASSERT_THAT(rig_.hosts.AllowRebind(host_.host_id(), host_.ak.name(),
                                     rig_.clock.Now() + std::chrono::hours(1)),
              IsOk());
  EXPECT_THAT(rig_.Enroll(kClient, host_), IsOk());
  EXPECT_EQ(rig_.store.RevocationEpoch().value(), 1u);
}

TEST_F(HostRegistryTest, ThousandHostsAreEnrolledInAMinute) {
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "host-" + std::to_string(i);
    const SoftHost host(name);
    ASSERT_THAT(rig_.Enroll("spiffe://t/" + name, host), IsOk()) << i;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::minutes(1));
  EXPECT_EQ(rig_.hosts.List("", 2000)->size(), 1000u);
}

}  // namespace
}  // namespace vmattest::verification
