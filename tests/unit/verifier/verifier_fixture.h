#ifndef VMATTEST_TESTS_UNIT_VERIFIER_VERIFIER_FIXTURE_H_
#define VMATTEST_TESTS_UNIT_VERIFIER_VERIFIER_FIXTURE_H_

#include <gtest/gtest.h>

#include <string>

#include "base/clock.h"
#include "support/evidence_builder.h"
#include "support/soft_tpm.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest::verifier {

// A pinned host, sound evidence of it, and a policy that believes it.
class VerifierFixture : public ::testing::Test {
 protected:
  VerifierFixture() {
    const absl::Status added =
        anchors.Add(wire::HostIdentityToJson(host.Identity()));
    EXPECT_TRUE(added.ok()) << added.ToString();
  }

  Appraisal Appraise(ByteView file) {
    absl::StatusOr<Appraisal> appraisal = Verify(file, anchors, policy, now);
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

  void ExpectReason(ByteView file, std::string_view code) {
    const Appraisal appraisal = Appraise(file);
    EXPECT_FALSE(appraisal.verdict.trusted());
    EXPECT_EQ(Codes(appraisal), code);
    for (const Reason& reason : appraisal.verdict.reasons) {
      EXPECT_FALSE(reason.element.empty());
    }
  }
  void ExpectReason(const evidence::Evidence& evidence, std::string_view code) {
    ExpectReason(wire::EncodeEvidence(evidence), code);
  }

  testing::SoftHost host;
  testing::EvidenceBuilder builder{host};
  Anchors anchors;
  Policy policy;
  WallTime now{
      std::chrono::milliseconds(testing::EvidenceBuilder::kTimeUnixMs)};
};

}  // namespace vmattest::verifier

#endif  // VMATTEST_TESTS_UNIT_VERIFIER_VERIFIER_FIXTURE_H_
