#ifndef VMATTEST_TESTS_UNIT_VERIFIER_PQ_FIXTURE_H_
#define VMATTEST_TESTS_UNIT_VERIFIER_PQ_FIXTURE_H_

#include <gtest/gtest.h>

#include <string>

#include "base/clock.h"
#include "crypto/ml_dsa.h"
#include "fakes/fake_host_tpm.h"
#include "support/evidence_builder.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest::verifier {

// A host whose TPM seals the seeds of post-quantum keys, and evidence of it.
class PqFixture : public ::testing::Test {
 protected:
  evidence::PqKey SealedKey(testing::FakeHostTpm& tpm,
                            std::string_view algorithm, KeyPurpose purpose,
                            uint32_t epoch, ByteView public_key) const {
    EXPECT_TRUE(tpm.Provision().ok());
    return tpm
        .SealSeed(algorithm, purpose, epoch, public_key,
                  SecretBytes(Bytes(kMlDsaSeedSize, 1)),
                  authority.public_area())
        .value()
        .key;
  }

  [[nodiscard]] evidence::HostIdentity Identity(
      const testing::FakeHostTpm& tpm) const {
    evidence::HostIdentity identity = tpm.host().Identity();
    identity.seal_authority = authority.public_area();
    return identity;
  }

  absl::Status AddKey(testing::FakeHostTpm& tpm, MlDsaLevel level,
                      KeyPurpose purpose, uint32_t epoch, ByteView public_key) {
    evidence::HostIdentity identity = Identity(tpm);
    identity.pq_keys = {
        SealedKey(tpm, ToString(level), purpose, epoch, public_key)};
    return anchors.Add(wire::HostIdentityToJson(identity));
  }

  void PinAt(testing::FakeHostTpm& tpm, MlDsaLevel level, KeyPurpose purpose,
             uint32_t epoch, ByteView public_key) {
    const absl::Status added = AddKey(tpm, level, purpose, epoch, public_key);
    EXPECT_TRUE(added.ok()) << added.ToString();
  }
  void Pin(MlDsaLevel level, KeyPurpose purpose, uint32_t epoch,
           ByteView public_key) {
    PinAt(fake, level, purpose, epoch, public_key);
  }

  Appraisal Appraise(const evidence::Evidence& evidence) {
    absl::StatusOr<Appraisal> appraisal =
        Verify(wire::EncodeEvidence(evidence), anchors, policy, now);
    EXPECT_TRUE(appraisal.ok()) << appraisal.status().ToString();
    return appraisal.ok() ? *std::move(appraisal) : Appraisal();
  }

  static std::string Codes(const Appraisal& appraisal) {
    std::string codes;
    for (const Reason& reason : appraisal.verdict.reasons) {
      codes += (codes.empty() ? "" : " ") + reason.code;
    }
    return codes;
  }

  void ExpectReason(const evidence::Evidence& evidence, std::string_view code) {
    const Appraisal appraisal = Appraise(evidence);
    EXPECT_FALSE(appraisal.verdict.trusted());
    EXPECT_EQ(Codes(appraisal), code);
  }

  const testing::SoftKey authority;
  testing::FakeHostTpm fake;
  testing::EvidenceBuilder builder{fake.host()};
  Anchors anchors;
  Policy policy;
  WallTime now{
      std::chrono::milliseconds(testing::EvidenceBuilder::kTimeUnixMs)};
};

}  // namespace vmattest::verifier

#endif  // VMATTEST_TESTS_UNIT_VERIFIER_PQ_FIXTURE_H_
