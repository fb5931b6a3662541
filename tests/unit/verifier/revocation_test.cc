#include <gmock/gmock.h>

#include "support/matchers.h"
#include "verifier/reason_codes.h"
#include "verifier_fixture.h"

// Keys that the host's AK said must not be believed any more.

namespace vmattest::verifier {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::SoftHost;
using testing::SoftKey;
using testing::StatusIs;

class Revocation : public VerifierFixture {
 protected:
  evidence::Attest Info(KeyPurpose purpose, uint32_t epoch,
                        const SoftKey& key) const {
    evidence::Attest info = host.CertifyInfo(purpose, key);
    info.extra_data = evidence::RevokeQualifyingData(purpose, epoch);
    return info;
  }
  evidence::KeyRevocation SignedBy(const SoftKey& ak,
                                   const evidence::Attest& info) const {
    const Bytes bytes = testing::EncodeAttest(info);
    return {.purpose = KeyPurpose::kConfig,
            .epoch = host.epoch,
            .key_name = ConfigKey().name(),
            .certify_info = bytes,
            .signature = ak.Sign(bytes)};
  }
  evidence::KeyRevocation Sound() const {
    return SignedBy(host.ak,
                    Info(KeyPurpose::kConfig, host.epoch, ConfigKey()));
  }
  const SoftKey& ConfigKey() const {
    return host.purpose_keys.at(KeyPurpose::kConfig);
  }
  absl::Status Pin(const evidence::KeyRevocation& revocation) {
    evidence::HostIdentity identity = host.Identity();
    identity.revocations = {revocation};
    return anchors.Add(wire::HostIdentityToJson(identity));
  }
  void ExpectRefused(const evidence::KeyRevocation& revocation,
                     std::string_view code) {
    EXPECT_THAT(Pin(revocation), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr(std::string(code))));
    EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  }
};

TEST_F(Revocation, EvidenceOfARevokedKeyIsRefused) {
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  ASSERT_THAT(Pin(Sound()), IsOk());
  ExpectReason(builder.BuildFile(), reason::kKeyRevoked);
}

TEST_F(Revocation, NoKeyIsBelievedForARevokedEpoch) {
  ASSERT_THAT(Pin(Sound()), IsOk());
  const SoftKey other;
  evidence::Evidence evidence = builder.Build();
  evidence.keys = {
      host.CertifyWith(KeyPurpose::kConfig, other,
                       host.CertifyInfo(KeyPurpose::kConfig, other))};
  auto& quote = std::get<evidence::TpmQuoteSignature>(
      evidence.envelope.signatures.front().body);
  auto attest = evidence::ParseAttest(quote.quoted).value();
  attest.qualified_signer = other.qualified_name();
  quote.quoted = testing::EncodeAttest(attest);
  quote.signature = other.Sign(quote.quoted);
  quote.key_name = other.name();
  ExpectReason(evidence, reason::kKeyRevoked);
}

TEST_F(Revocation, LaterEpochStaysGood) {
  ASSERT_THAT(Pin(Sound()), IsOk());

  ++host.epoch;
  host.purpose_keys.at(KeyPurpose::kConfig) = SoftKey();
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
}

TEST_F(Revocation, RefusedUnlessItIsTheAksWordAboutThatKey) {
  const SoftKey stranger;
  const evidence::Attest good =
      Info(KeyPurpose::kConfig, host.epoch, ConfigKey());
  ExpectRefused(SignedBy(stranger, good), reason::kCertificationSignature);

  evidence::Attest info = good;
  info.magic = 0;
  ExpectRefused(SignedBy(host.ak, info), reason::kCertificationMagic);

  info = good;
  info.type = evidence::kTpmStAttestCreation;
  ExpectRefused(SignedBy(host.ak, info), reason::kCertificationType);

  info = good;
  info.qualified_signer = stranger.qualified_name();
  ExpectRefused(SignedBy(host.ak, info), reason::kCertificationSigner);

  info = good;
  info.certified_name = stranger.name();
  ExpectRefused(SignedBy(host.ak, info), reason::kCertificationName);

  evidence::KeyRevocation revocation = Sound();
  revocation.certify_info.pop_back();
  ExpectRefused(revocation, reason::kCertificationMalformed);
}

TEST_F(Revocation, S2_CertificationIsNoRevocationAndTheOtherWayRound) {
  ExpectRefused(
      SignedBy(host.ak, host.CertifyInfo(KeyPurpose::kConfig, ConfigKey())),
      reason::kCertificationPurpose);
  ExpectRefused(
      SignedBy(host.ak, Info(KeyPurpose::kConfig, host.epoch + 1, ConfigKey())),
      reason::kCertificationPurpose);
  ExpectRefused(
      SignedBy(host.ak, Info(KeyPurpose::kLedger, host.epoch, ConfigKey())),
      reason::kCertificationPurpose);
  // A revocation, shown as the certification of a key.
  builder.edit_certification = [&](evidence::Attest& info) {
    info.extra_data =
        evidence::RevokeQualifyingData(KeyPurpose::kConfig, host.epoch);
  };
  ExpectReason(builder.BuildFile(), reason::kCertificationPurpose);
}

}  // namespace
}  // namespace vmattest::verifier
