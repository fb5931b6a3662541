#include "enrollment/host_rules.h"

#include <algorithm>

#include "enrollment/ek_public.h"
#include "enrollment/reason_codes.h"
#include "evidence/tpm_structures.h"
#include "fakes/fake_host_tpm.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/soft_tpm.h"

namespace vmattest::enrollment {
namespace {

using testing::FakeHostTpm;
using testing::IsOk;
using testing::SoftHost;
using testing::SoftKey;
using testing::StatusIs;

const std::string kClient = "spiffe://example.org/host/1";
const WallTime kNow(std::chrono::hours(500'000));

class HostRules : public ::testing::Test {
 protected:
  HostRules() {
    EXPECT_THAT(tpm_.Provision(), IsOk());
    known_.identity = tpm_.GetIdentity().value();
    known_.state = HostState::kEnrolled;
    known_.ek_trust = EkTrust::kCertificate;
    known_.client = kClient;
  }
  evidence::HostIdentity Identity() { return tpm_.GetIdentity().value(); }
  // The same EK under another AK, as after somebody took the host id over.
  evidence::HostIdentity WithAnotherAk() const {
    SoftHost other;
    evidence::HostIdentity identity = other.Identity();
    identity.ek_public = known_.identity.ek_public;
    identity.host_id = known_.identity.host_id;
    return identity;
  }
  absl::StatusOr<KnownHost> Decide(
      const evidence::HostIdentity& identity,
      const std::optional<RebindPermission>& permission = std::nullopt) const {
    return DecideEnrollment(
        {.identity = identity, .ek_certified = true, .client = kClient},
        {.same_host_id = &known_}, permission, kNow);
  }
  static RebindPermission Permit(const evidence::HostIdentity& identity) {
    return {.ak_name = evidence::NameOf(identity.ak_public).value(),
            .expires = kNow + std::chrono::hours(1)};
  }
  absl::StatusOr<KeyUpdate> Update(const evidence::HostIdentity& update,
                                   const std::string& client = kClient) const {
    return UpdateKeys(known_, update, client);
  }
  static bool Has(const evidence::HostIdentity& identity, KeyPurpose purpose,
                  uint32_t epoch) {
    return std::any_of(identity.keys.begin(), identity.keys.end(),
                       [&](const auto& key) {
                         return key.purpose == purpose && key.epoch == epoch;
                       });
  }

  FakeHostTpm tpm_;
  KnownHost known_;
};

TEST_F(HostRules, NewHostIsEnrolledByItsCertificateAndElsePending) {
  ActivatedHost host{
      .identity = Identity(), .ek_certified = true, .client = kClient};
  ASSERT_OK_AND_ASSIGN(KnownHost record,
                       DecideEnrollment(host, {}, std::nullopt, kNow));
  EXPECT_EQ(record.state, HostState::kEnrolled);
  EXPECT_EQ(record.ek_trust, EkTrust::kCertificate);
  EXPECT_EQ(record.client, kClient);
  host.ek_certified = false;
  ASSERT_OK_AND_ASSIGN(record, DecideEnrollment(host, {}, std::nullopt, kNow));
  EXPECT_EQ(record.state, HostState::kPending);
  EXPECT_EQ(record.ek_trust, EkTrust::kNone);
}

TEST_F(HostRules, CVE_2025_13609_KnownHostIsNotTakenOverByAnotherAk) {
  const evidence::HostIdentity other = WithAnotherAk();
  EXPECT_THAT(Decide(other), StatusIs(absl::StatusCode::kAlreadyExists));
  // An operator's word is for one AK, and for a time.
  EXPECT_THAT(Decide(other, Permit(WithAnotherAk())),
              StatusIs(absl::StatusCode::kAlreadyExists));
  RebindPermission late = Permit(other);
  late.expires = kNow;
  EXPECT_THAT(Decide(other, late), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_OK_AND_ASSIGN(const KnownHost record, Decide(other, Permit(other)));
  EXPECT_EQ(record.identity.ak_public, other.ak_public);
}

TEST_F(HostRules, CVE_2022_1053_OneAkIsNotBoundToAnotherEk) {
  evidence::HostIdentity moved = Identity();
  const SoftKey other_ek(testing::kEkAttributes);
  moved.ek_public = other_ek.public_area();
  moved.host_id = ToHex(ByteView(other_ek.name()).subspan(2));
  const ActivatedHost host{
      .identity = moved, .ek_certified = true, .client = kClient};
  EXPECT_THAT(DecideEnrollment(host, {.same_ak = &known_}, Permit(moved), kNow),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(HostRules, OneEkIsOneHostWhateverItsAttributes) {
  evidence::HostIdentity second = WithAnotherAk();
  evidence::EccPublicArea area = *evidence::ParseEccPublic(second.ek_public);
  area.auth_policy[0] ^= 1;
  second.ek_public = testing::EncodeEccPublic(area);
  second.host_id =
      ToHex(ByteView(*evidence::NameOf(second.ek_public)).subspan(2));
  EXPECT_EQ(EkFingerprint(second.ek_public).value(),
            EkFingerprint(known_.identity.ek_public).value());
  const ActivatedHost host{
      .identity = second, .ek_certified = true, .client = kClient};
  EXPECT_THAT(DecideEnrollment(host, {.same_ek = &known_}, std::nullopt, kNow),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(HostRules, EnrollingAgainKeepsWhatIsKnown) {
  ASSERT_THAT(tpm_.RotateKey(KeyPurpose::kConfig), IsOk());
  ASSERT_THAT(tpm_.RevokeKey(KeyPurpose::kConfig, 1), IsOk());
  known_.identity = Identity();
  evidence::HostIdentity forgetful = Identity();
  forgetful.revocations.clear();
  std::erase_if(forgetful.keys, [](const auto& key) { return key.epoch == 1; });
  ASSERT_OK_AND_ASSIGN(const KnownHost record, Decide(forgetful));
  EXPECT_EQ(record.identity.revocations.size(), 1U);
  EXPECT_TRUE(Has(record.identity, KeyPurpose::kConfig, 1));
  EXPECT_EQ(record.state, HostState::kEnrolled);
}

TEST_F(HostRules, EnrollingAgainIsTheSameClients) {
  ActivatedHost host{.identity = Identity(),
                     .ek_certified = true,
                     .client = "spiffe://example.org/host/2"};
  EXPECT_THAT(
      DecideEnrollment(host, {.same_host_id = &known_}, std::nullopt, kNow),
      StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_OK_AND_ASSIGN(const KnownHost record,
                       DecideEnrollment(host, {.same_host_id = &known_},
                                        Permit(host.identity), kNow));
  EXPECT_EQ(record.client, host.client);
}

TEST_F(HostRules, RevokedHostStaysSoUntilAnOperatorAllowsIt) {
  known_.state = HostState::kRevoked;
  EXPECT_THAT(Decide(Identity()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Update(Identity()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const KnownHost record,
                       Decide(Identity(), Permit(Identity())));
  EXPECT_EQ(record.state, HostState::kEnrolled);
}

TEST_F(HostRules, HostWithoutCertificateWaitsForAnOperator) {
  known_.state = HostState::kPending;
  known_.ek_trust = EkTrust::kNone;
  EXPECT_THAT(Update(Identity()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  const Bytes ak = *evidence::NameOf(known_.identity.ak_public);
  EXPECT_THAT(ApprovePending(known_, SoftKey().name()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const KnownHost approved, ApprovePending(known_, ak));
  EXPECT_EQ(approved.state, HostState::kEnrolled);
  EXPECT_EQ(approved.ek_trust, EkTrust::kOperator);
  EXPECT_THAT(ApprovePending(approved, ak),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(HostRules, ApprovalIsOfOneAkAlone) {
  known_.ek_trust = EkTrust::kOperator;
  const auto again = [&](const evidence::HostIdentity& identity) {
    return DecideEnrollment(
        {.identity = identity, .ek_certified = false, .client = kClient},
        {.same_host_id = &known_}, Permit(identity), kNow);
  };
  ASSERT_OK_AND_ASSIGN(const KnownHost same, again(Identity()));
  EXPECT_EQ(same.state, HostState::kEnrolled);
  ASSERT_OK_AND_ASSIGN(const KnownHost other, again(WithAnotherAk()));
  EXPECT_EQ(other.state, HostState::kPending);
}

TEST_F(HostRules, UpdateAddsEpochsAndRevocations) {
  ASSERT_THAT(tpm_.RotateKey(KeyPurpose::kConfig), IsOk());
  ASSERT_THAT(tpm_.RevokeKey(KeyPurpose::kConfig, 1), IsOk());
  ASSERT_OK_AND_ASSIGN(const KeyUpdate update, Update(Identity()));
  ASSERT_TRUE(update.verdict.trusted());
  EXPECT_TRUE(Has(update.identity, KeyPurpose::kConfig, 2));
  EXPECT_EQ(update.identity.revocations.size(), 1U);
}

TEST_F(HostRules, UpdateTakesNothingAway) {
  ASSERT_THAT(tpm_.RotateKey(KeyPurpose::kConfig), IsOk());
  ASSERT_THAT(tpm_.RevokeKey(KeyPurpose::kConfig, 1), IsOk());
  known_.identity = Identity();
  evidence::HostIdentity empty = Identity();
  empty.keys.clear();
  empty.revocations.clear();
  ASSERT_OK_AND_ASSIGN(const KeyUpdate update, Update(empty));
  ASSERT_TRUE(update.verdict.trusted());
  EXPECT_EQ(update.identity.keys.size(), known_.identity.keys.size());
  EXPECT_EQ(update.identity.revocations.size(), 1U);
}

TEST_F(HostRules, UpdateIsOfTheSameHostAkAndClient) {
  EXPECT_THAT(Update(WithAnotherAk()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Update(SoftHost().Identity()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Update(Identity(), "spiffe://example.org/host/2"),
              StatusIs(absl::StatusCode::kPermissionDenied));
  evidence::HostIdentity other = Identity();
  other.ek_certificate = Bytes(10, 1);
  EXPECT_THAT(Update(other), StatusIs(absl::StatusCode::kFailedPrecondition));
  known_.identity.seal_authority = Bytes(10, 1);
  other = Identity();
  other.seal_authority = Bytes(10, 2);
  EXPECT_THAT(Update(other), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(HostRules, UpdateThatTheAkDidNotSignIsRefusedByVerdict) {
  ASSERT_THAT(tpm_.RotateKey(KeyPurpose::kConfig), IsOk());
  evidence::HostIdentity forged = Identity();
  for (auto& key : forged.keys) {
    if (key.epoch == 2) {
      key.public_area = SoftKey().public_area();
    }
  }
  ASSERT_OK_AND_ASSIGN(const KeyUpdate update, Update(forged));
  ASSERT_FALSE(update.verdict.trusted());
  EXPECT_EQ(update.verdict.reasons.at(0).code,
            "identity-key-certification-name");
}

TEST_F(HostRules, LabelsAreNotUsedAgain) {
  const SoftHost& host = tpm_.host();
  const SoftKey second;
  evidence::HostIdentity update = Identity();
  update.keys = {
      host.CertifyWith(KeyPurpose::kConfig, second,
                       host.CertifyInfo(KeyPurpose::kConfig, second))};
  EXPECT_THAT(Update(update), StatusIs(absl::StatusCode::kInvalidArgument));
  // An epoch that was never shown, but is older than one that was.
  ASSERT_THAT(tpm_.RotateKey(KeyPurpose::kConfig), IsOk());
  known_.identity = Identity();
  std::erase_if(known_.identity.keys, [](const auto& key) {
    return key.purpose == KeyPurpose::kConfig && key.epoch == 1;
  });
  EXPECT_THAT(Update(update), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(HostRules, KeysThatTheHostListsNoMoreMakeRoomOldestFirst) {
  for (int i = 0; i < 260; ++i) {
    ASSERT_THAT(tpm_.RotateKey(KeyPurpose::kConfig), IsOk());
    if (i == 200) {
      known_.identity = Identity();
    }
  }
  evidence::HostIdentity update = Identity();
  std::erase_if(update.keys, [](const auto& key) {
    return key.epoch < 200 && key.epoch > 1;
  });
  ASSERT_OK_AND_ASSIGN(const KeyUpdate merged, Update(update));
  ASSERT_TRUE(merged.verdict.trusted());
  EXPECT_EQ(merged.identity.keys.size(), 256U);
  EXPECT_TRUE(Has(merged.identity, KeyPurpose::kConfig, 261));
  EXPECT_TRUE(Has(merged.identity, KeyPurpose::kConfig, 1));  // still listed
  EXPECT_FALSE(Has(merged.identity, KeyPurpose::kConfig, 2));
  EXPECT_TRUE(Has(merged.identity, KeyPurpose::kConfig, 199));
}

}  // namespace
}  // namespace vmattest::enrollment
