#ifndef VMATTEST_TESTS_UNIT_APPRAISAL_APPRAISAL_FIXTURE_H_
#define VMATTEST_TESTS_UNIT_APPRAISAL_APPRAISAL_FIXTURE_H_

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "appraisal/appraise.h"
#include "evidence/config_tree.h"
#include "support/evidence_builder.h"
#include "support/soft_tpm.h"
#include "wire/codec.h"

namespace vmattest::appraisal {

// An enrolled host, sound evidence of it, and the reference that it meets.
class AppraisalFixture : public ::testing::Test {
 protected:
  AppraisalFixture() {
    EXPECT_TRUE(hosts.Add(wire::HostIdentityToJson(host.Identity())).ok());
    reference = Learned();
  }

  [[nodiscard]] reference::Reference Learned() const {
    const evidence::Evidence evidence = builder.Build();
    const auto statement =
        wire::ParseConfigStatement(evidence.envelope.payload).value();
    reference::Reference learned = reference::Learn(
        "web", statement.header.vm_uuid, statement.algorithm,
        evidence::Flatten(evidence.leaves, evidence.subtrees), statement.root);
    learned.content = statement.content;
    learned.inside = statement.inside;
    learned.header.issued_unix_ms = kNow - 1;
    learned.header.not_before_unix_ms = kNow - 1;
    learned.header.not_after_unix_ms = kNow + 86'400'000;
    return learned;
  }

  Decision Decide(ByteView bytes) {
    request.evidence = bytes;
    absl::StatusOr<Decision> decision =
        Appraise(request, hosts, {reference}, now);
    EXPECT_TRUE(decision.ok()) << decision.status().ToString();
    EXPECT_EQ(decision->verdict.trusted(), decision->verdict.reasons.empty());
    EXPECT_EQ(decision->verdict.reasons.size(), decision->fixes.size());
    return *std::move(decision);
  }
  Decision Decide() {
    file = builder.BuildFile();
    return Decide(file);
  }

  static std::string Codes(const std::vector<Reason>& reasons) {
    std::string codes;
    for (const Reason& reason : reasons) {
      codes += (codes.empty() ? "" : " ") + reason.code;
    }
    return codes;
  }
  static std::string Codes(const Decision& decision) {
    return Codes(decision.verdict.reasons);
  }

  static constexpr int64_t kNow = testing::EvidenceBuilder::kTimeUnixMs;
  testing::SoftHost host;
  testing::EvidenceBuilder builder{host};
  verifier::Anchors hosts;
  reference::Reference reference;
  Request request;
  Bytes file;
  WallTime now{std::chrono::milliseconds(kNow)};
};

}  // namespace vmattest::appraisal

#endif  // VMATTEST_TESTS_UNIT_APPRAISAL_APPRAISAL_FIXTURE_H_
