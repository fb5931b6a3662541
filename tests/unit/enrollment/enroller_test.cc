#include "enrollment/enroller.h"

#include <set>

#include "enrollment/reason_codes.h"
#include "evidence/tpm_structures.h"
#include "fakes/fake_host_tpm.h"
#include "fakes/manual_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/ek_pki.h"
#include "support/matchers.h"
#include "wire/codec.h"

namespace vmattest::enrollment {
namespace {

using testing::FakeHostTpm;
using testing::IsOk;
using testing::SoftHost;
using testing::SoftKey;
using testing::StatusIs;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""ms;

constexpr std::string_view kClient = "spiffe://example.org/host/1";

Bytes Encoded(const evidence::HostIdentity& identity) {
  return wire::EncodeHostIdentity(identity);
}

class EnrollerTest : public ::testing::Test {
 protected:
  EnrollerTest() {
    EkRoots roots;
    EXPECT_THAT(roots.Add(pki_.root()), IsOk());
    EXPECT_THAT(roots.Add(pki_.intermediate()), IsOk());
    roots_.Set(std::move(roots));
    EXPECT_THAT(tpm_.Provision(), IsOk());
    identity_ = tpm_.GetIdentity().value();
  }
  // What an honest host answers, about the identity that it showed.
  absl::StatusOr<Bytes> Answer(const Enroller::Challenge& challenge,
                               const evidence::HostIdentity& identity) {
    ASSIGN_OR_RETURN(
        const SecretBytes secret,
        tpm_.ActivateCredential(challenge.credential.credential_blob,
                                challenge.credential.encrypted_secret));
    return EnrollmentProof(secret, Encoded(identity));
  }
  Enroller::Challenge Begin() {
    const auto begun = enroller_.Begin(kClient, identity_);
    EXPECT_THAT(begun, IsOk());
    EXPECT_TRUE(begun->verdict.trusted());
    return begun->challenge;
  }

  testing::EkPki pki_;
  Current<EkRoots> roots_{EkRoots()};
  testing::ManualClock clock_;
  FakeHostTpm tpm_;
  evidence::HostIdentity identity_;
  Enroller enroller_{roots_, clock_};
};

TEST_F(EnrollerTest, GivesTheIdentityWhoseAkWasActivated) {
  identity_.ek_certificate = pki_.Issue(identity_.ek_public);
  const Enroller::Challenge challenge = Begin();
  EXPECT_EQ(challenge.expires, clock_.Now() + 2min);
  ASSERT_OK_AND_ASSIGN(const Bytes proof, Answer(challenge, identity_));
  ASSERT_OK_AND_ASSIGN(const ActivatedHost host,
                       enroller_.Complete(kClient, challenge.id, proof));
  EXPECT_EQ(Encoded(host.identity), Encoded(identity_));
  EXPECT_TRUE(host.ek_certified);
  EXPECT_EQ(host.client, kClient);
  EXPECT_EQ(enroller_.pending(), 0U);
}

TEST_F(EnrollerTest, WithoutACertificateTheEkIsNotCertified) {
  const Enroller::Challenge challenge = Begin();
  ASSERT_OK_AND_ASSIGN(const Bytes proof, Answer(challenge, identity_));
  ASSERT_OK_AND_ASSIGN(const ActivatedHost host,
                       enroller_.Complete(kClient, challenge.id, proof));
  EXPECT_FALSE(host.ek_certified);
}

TEST_F(EnrollerTest, CVE_2022_1053_CertificateMustBeOfTheEkThatIsChallenged) {
  // A good certificate, but of another TPM.
  identity_.ek_certificate =
      pki_.Issue(SoftKey(testing::kEkAttributes).public_area());
  ASSERT_OK_AND_ASSIGN(const auto begun, enroller_.Begin(kClient, identity_));
  ASSERT_FALSE(begun.verdict.trusted());
  EXPECT_EQ(begun.verdict.reasons.at(0).code, reason::kCertificateKey);
  EXPECT_TRUE(begun.challenge.id.empty());
  EXPECT_EQ(enroller_.pending(), 0U);
}

TEST_F(EnrollerTest, CVE_2021_3406_NoAkIsGivenWithoutActivation) {
  const Enroller::Challenge challenge = Begin();
  for (const Bytes& proof : {Bytes(), Bytes(32, 0), Bytes(32, 1)}) {
    const Enroller::Challenge next = Begin();
    EXPECT_THAT(enroller_.Complete(kClient, next.id, proof),
                StatusIs(absl::StatusCode::kPermissionDenied));
  }
  EXPECT_THAT(enroller_.Complete(kClient, {}, {}),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(enroller_.Complete(kClient, Bytes(32, 0), Bytes(32, 0)),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(EnrollerTest, CVE_2021_3406_AkThatIsNotInTheTpmIsNotActivated) {
  // An AK of the attacker's own, beside a victim's EK: the TPM opens nothing.
  SoftHost attacker;
  attacker.ak = SoftKey();
  evidence::HostIdentity forged = attacker.Identity();
  forged.ek_public = identity_.ek_public;
  forged.host_id = identity_.host_id;
  ASSERT_OK_AND_ASSIGN(const auto begun, enroller_.Begin(kClient, forged));
  ASSERT_TRUE(begun.verdict.trusted());
  EXPECT_THAT(Answer(begun.challenge, forged),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(EnrollerTest, CVE_2022_3500_IdentityCannotBeExchangedInBetween) {
  const Enroller::Challenge first = Begin();
  // The secret is known, but the proof is made over other keys.
  evidence::HostIdentity other = identity_;
  other.keys.pop_back();
  ASSERT_OK_AND_ASSIGN(const Bytes wrong, Answer(first, other));
  EXPECT_THAT(enroller_.Complete(kClient, first.id, wrong),
              StatusIs(absl::StatusCode::kPermissionDenied));
  // What failed is gone, with nothing left of it.
  ASSERT_OK_AND_ASSIGN(const Bytes right, Answer(first, identity_));
  EXPECT_THAT(enroller_.Complete(kClient, first.id, right),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(enroller_.pending(), 0U);
}

TEST_F(EnrollerTest, CVE_2023_38201_ProofOfOneChallengeOpensNoOther) {
  const Enroller::Challenge first = Begin();
  ASSERT_OK_AND_ASSIGN(const Bytes proof, Answer(first, identity_));
  const Enroller::Challenge second = Begin();
  EXPECT_THAT(enroller_.Complete(kClient, second.id, proof),
              StatusIs(absl::StatusCode::kPermissionDenied));
  // The first made way for the second.
  EXPECT_THAT(enroller_.Complete(kClient, first.id, proof),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(EnrollerTest, CVE_2023_38201_ChallengeIsGoodOnceAndForItsClientAlone) {
  const Enroller::Challenge challenge = Begin();
  ASSERT_OK_AND_ASSIGN(const Bytes proof, Answer(challenge, identity_));
  EXPECT_THAT(enroller_.Complete("spiffe://x/other", challenge.id, proof),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(enroller_.Complete(kClient, challenge.id, proof), IsOk());
  EXPECT_THAT(enroller_.Complete(kClient, challenge.id, proof),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(EnrollerTest, ChallengeExpires) {
  const Enroller::Challenge challenge = Begin();
  ASSERT_OK_AND_ASSIGN(const Bytes proof, Answer(challenge, identity_));
  clock_.Advance(2min - 1ms);
  EXPECT_EQ(enroller_.pending(), 1U);
  clock_.Advance(1ms);
  EXPECT_THAT(enroller_.Complete(kClient, challenge.id, proof),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(enroller_.pending(), 0U);
}

TEST_F(EnrollerTest, CVE_2022_3500_RefusedIdentityLeavesNothing) {
  identity_.keys.front().signature.back() ^= 1;
  ASSERT_OK_AND_ASSIGN(const auto begun, enroller_.Begin(kClient, identity_));
  EXPECT_FALSE(begun.verdict.trusted());
  EXPECT_EQ(enroller_.pending(), 0U);
}

TEST_F(EnrollerTest, IdsAndCredentialsDiffer) {
  std::set<Bytes> seen;
  for (int i = 0; i < 20; ++i) {
    const Enroller::Challenge challenge = Begin();
    EXPECT_TRUE(seen.insert(challenge.id).second);
    EXPECT_TRUE(seen.insert(challenge.credential.encrypted_secret).second);
  }
  EXPECT_EQ(enroller_.pending(), 1U);
}

evidence::HostIdentity SmallIdentity() {
  evidence::HostIdentity identity = SoftHost().Identity();
  identity.keys.clear();
  return identity;
}

TEST_F(EnrollerTest, FullPoolRefusesUntilChallengesExpire) {
  Enroller small(roots_, clock_,
                 {.max_pending = 4, .max_pending_of_client = 4});
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(small.Begin(std::to_string(i), SmallIdentity()), IsOk());
  }
  EXPECT_THAT(small.Begin("5", SmallIdentity()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  clock_.Advance(2min);
  EXPECT_THAT(small.Begin("5", SmallIdentity()), IsOk());
  EXPECT_EQ(small.pending(), 1U);
}

TEST_F(EnrollerTest, OneClientDoesNotKeepTheOthersOut) {
  Enroller small(roots_, clock_,
                 {.max_pending = 4, .max_pending_of_client = 2});
  EXPECT_THAT(small.Begin("a", SmallIdentity()), IsOk());
  EXPECT_THAT(small.Begin("a", SmallIdentity()), IsOk());
  EXPECT_THAT(small.Begin("a", SmallIdentity()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(small.Begin("b", SmallIdentity()), IsOk());
}

TEST_F(EnrollerTest, MemoryOfIdentitiesIsBounded) {
  const size_t size = Encoded(SmallIdentity()).size();
  Enroller small(roots_, clock_, {.max_pending_bytes = 2 * size + size / 2});
  EXPECT_THAT(small.Begin("a", SmallIdentity()), IsOk());
  EXPECT_THAT(small.Begin("b", SmallIdentity()), IsOk());
  EXPECT_THAT(small.Begin("c", SmallIdentity()),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(EnrollerTest, RootsThatAreReadAgainCountFromThenOn) {
  identity_.ek_certificate = pki_.Issue(identity_.ek_public);
  (void)Begin();
  roots_.Set(EkRoots());
  const auto untrusted = enroller_.Begin(kClient, identity_);
  ASSERT_THAT(untrusted, IsOk());
  EXPECT_FALSE(untrusted->verdict.trusted());
  EkRoots roots;
  EXPECT_THAT(roots.Add(pki_.root()), IsOk());
  EXPECT_THAT(roots.Add(pki_.intermediate()), IsOk());
  roots_.Set(std::move(roots));
  (void)Begin();
}

}  // namespace
}  // namespace vmattest::enrollment
