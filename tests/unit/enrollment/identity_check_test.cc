#include "base/clock.h"
#include "crypto/digest.h"
#include "enrollment/credential.h"
#include "enrollment/reason_codes.h"
#include "evidence/tpm_structures.h"
#include "gtest/gtest.h"
#include "support/evidence_builder.h"
#include "support/matchers.h"
#include "support/soft_tpm.h"
#include "verifier/reason_codes.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest::enrollment {
namespace {

using testing::IsOk;
using testing::SoftHost;
using testing::SoftKey;

std::string CodeOf(const Verdict& verdict) {
  return verdict.trusted() ? "trusted" : verdict.reasons.at(0).code;
}

class IdentityCheck : public ::testing::Test {
 protected:
  std::string Check() const { return CodeOf(CheckIdentity(identity_)); }
  // Another public area for the EK, and the host id that it gives.
  void SetEk(const Bytes& ek_public) {
    identity_.ek_public = ek_public;
    identity_.host_id =
        ToHex(ByteView(*evidence::NameOf(ek_public)).subspan(2));
  }

  SoftHost host_;
  evidence::HostIdentity identity_ = host_.Identity();
};

TEST_F(IdentityCheck, SoundIdentityPasses) { EXPECT_EQ(Check(), "trusted"); }

TEST_F(IdentityCheck, NothingIsRefused) {
  EXPECT_NE(CodeOf(CheckIdentity({})), "trusted");
}

TEST_F(IdentityCheck, CVE_2025_13609_HostIdIsNeverChosen) {
  identity_.host_id = SoftHost().host_id();
  EXPECT_EQ(Check(), reason::kIdentityHostId);
  identity_.host_id = "";
  EXPECT_EQ(Check(), reason::kIdentityHostId);
}

TEST_F(IdentityCheck, S9_CVE_2022_0317_AkMustSignOnlyWhatItsTpmMade) {
  // fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign; decrypt.
  for (const uint32_t bit : {1u, 4u, 5u, 16u, 18u, 17u}) {
    identity_.ak_public =
        SoftKey(testing::kSigningKeyAttributes ^ (1u << bit)).public_area();
    EXPECT_NE(Check(), "trusted") << bit;
    EXPECT_TRUE(Check().starts_with("identity-")) << Check();
  }
}

TEST_F(IdentityCheck, S9_CVE_2022_0317_QuoteOverNoPcrsProvesNothing) {
  testing::EvidenceBuilder builder(host_);
  builder.edit_quote = [](evidence::Attest& attest) {
    attest.pcr_selections.clear();
    attest.pcr_digest = Hash(HashAlgorithm::kSha256, {});
  };
  verifier::Anchors anchors;
  ASSERT_THAT(anchors.Add(wire::HostIdentityToJson(identity_)), IsOk());
  verifier::Policy policy;
  policy.required_pcrs.clear();
  const auto appraisal = verifier::Verify(
      builder.BuildFile(), anchors, policy,
      WallTime(
          std::chrono::milliseconds(testing::EvidenceBuilder::kTimeUnixMs)));
  ASSERT_THAT(appraisal, IsOk());
  EXPECT_EQ(CodeOf(appraisal->verdict), verifier::reason::kPcrSelectionEmpty);
}

TEST_F(IdentityCheck, EkMustBeADecryptionKey) {
  SetEk(SoftKey().public_area());
  EXPECT_EQ(Check(), reason::kIdentityEkMalformed);
}

TEST_F(IdentityCheck, OneTpmIsNotSeveralHostsUnderOtherTemplates) {
  evidence::EccPublicArea area = *evidence::ParseEccPublic(identity_.ek_public);
  area.auth_policy[0] ^= 1;
  SetEk(testing::EncodeEccPublic(area));
  EXPECT_EQ(Check(), reason::kIdentityEkTemplate);
  area = *evidence::ParseEccPublic(host_.ek.public_area());
  area.attributes |= evidence::kObjectNoDa;
  SetEk(testing::EncodeEccPublic(area));
  EXPECT_EQ(Check(), reason::kIdentityEkTemplate);
}

TEST_F(IdentityCheck, EveryPurposeKeyIsCertifiedByThisAk) {
  const SoftHost other;
  identity_.keys.back() = other.Certify(KeyPurpose::kAuthorization);
  EXPECT_EQ(Check(), "identity-key-certification-signature");
}

TEST_F(IdentityCheck, OneKeyHasOneLabelAndOneLabelOneKey) {
  evidence::HostIdentity twice = identity_;
  twice.keys.push_back(twice.keys.front());
  EXPECT_EQ(CodeOf(CheckIdentity(twice)), reason::kIdentityKeyDuplicate);

  SoftKey second;
  twice = identity_;
  twice.keys.push_back(
      host_.CertifyWith(KeyPurpose::kConfig, second,
                        host_.CertifyInfo(KeyPurpose::kConfig, second)));
  EXPECT_EQ(CodeOf(CheckIdentity(twice)), reason::kIdentityKeyDuplicate);

  host_.epoch = 2;
  twice = identity_;
  twice.keys.push_back(host_.Certify(KeyPurpose::kConfig));
  EXPECT_EQ(CodeOf(CheckIdentity(twice)), reason::kIdentityKeyDuplicate);

  twice = identity_;
  const SoftKey& config = host_.purpose_keys.at(KeyPurpose::kConfig);
  twice.keys.push_back(
      host_.CertifyWith(KeyPurpose::kLedger, config,
                        host_.CertifyInfo(KeyPurpose::kLedger, config)));
  EXPECT_EQ(CodeOf(CheckIdentity(twice)), reason::kIdentityKeyReused);
}

TEST_F(IdentityCheck, AkIsNoPurposeKeyAndNoEk) {
  identity_.keys.push_back(
      host_.CertifyWith(KeyPurpose::kConfig, host_.ak,
                        host_.CertifyInfo(KeyPurpose::kConfig, host_.ak)));
  EXPECT_EQ(Check(), reason::kIdentityKeyReused);
  identity_ = host_.Identity();
  identity_.ak_public = identity_.ek_public;
  EXPECT_EQ(Check(), reason::kIdentityKeyReused);
}

}  // namespace
}  // namespace vmattest::enrollment
