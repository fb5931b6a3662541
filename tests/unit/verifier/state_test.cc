#include "vmattest/verifier/state.h"

#include <gmock/gmock.h>

#include "support/matchers.h"
#include "verifier/reason_codes.h"
#include "verifier_fixture.h"

namespace vmattest::verifier {
namespace {

using testing::StatusIs;

using Subsets = std::map<std::string, DigestBytes>;

class StateTest : public VerifierFixture {
 protected:
  StateTest() {
    builder.key = KeyPurpose::kState;
    statement.header = builder.header;
    statement.policy_id = "linux";
    statement.policy_version = 3;
    statement.policy_digest = Bytes(32, 7);
    statement.cause = "request";
    statement.vm_state = "running";
    statement.consistency_requested = "paused";
    statement.consistency = "paused";
    statement.reader = "shared-memory";
    statement.code_hash_state = "unavailable";
    statement.regions = {
        {"text", "critical", 8192, 2, Bytes(32, 1), Bytes(32, 2), 0, 0, ""},
        {"idt", "high", 0, 0, {}, {}, 0, 0, "not-resolved"}};
  }
  StateAppraisal Appraise(bool right_root = true) {
    if (right_root) {
      statement.root =
          evidence::StateRoot(statement.algorithm, statement.regions);
    }
    absl::StatusOr<StateAppraisal> appraisal =
        VerifyState(wire::EncodeEvidence(
                        builder.Seal(std::string(evidence::kStatePayloadType),
                                     wire::EncodeStateStatement(statement))),
                    anchors, demands, now);
    EXPECT_TRUE(appraisal.ok()) << appraisal.status().ToString();
    return appraisal.ok() ? *std::move(appraisal) : StateAppraisal();
  }
  std::string Code(const StateAppraisal& appraisal) {
    return appraisal.verdict.reasons.empty()
               ? "trusted"
               : appraisal.verdict.reasons[0].code;
  }

  evidence::StateStatement statement;
  StatePolicy demands;
};

TEST_F(StateTest, IsTrustedAndSaysWhatWasMeasured) {
  demands.approved_subsets = Subsets{{"linux@3", Bytes(32, 7)}};
  demands.min_consistency = "paused";
  const StateAppraisal appraisal = Appraise();
  EXPECT_EQ(Code(appraisal), "trusted");
  EXPECT_TRUE(appraisal.verdict.trusted());
  EXPECT_EQ(appraisal.state.subset, "linux@3");
  EXPECT_EQ(appraisal.claims.root, statement.root);
  ASSERT_EQ(appraisal.state.regions.size(), 2U);
  EXPECT_EQ(appraisal.state.regions[1].unavailable, "not-resolved");
}

TEST_F(StateTest, SaysWhoAskedForIt) {
  for (const std::string cause : {"request", "schedule", "guest"}) {
    statement.cause = cause;
    const StateAppraisal appraisal = Appraise();
    EXPECT_EQ(Code(appraisal), "trusted");
    EXPECT_EQ(appraisal.state.cause, cause);
  }
  statement.cause = "guests";
  EXPECT_EQ(Code(Appraise()), reason::kStatementField);
}

TEST_F(StateTest, S2_OnlyTheStateKeySignsIt) {
  builder.key = KeyPurpose::kConfig;
  EXPECT_EQ(Code(Appraise()), reason::kKeyPurpose);
}

TEST_F(StateTest, IsRefusedWithAnotherRoot) {
  Appraise();
  statement.regions[0].torn_pages = 1;
  EXPECT_EQ(Code(Appraise(false)), reason::kStateRoot);
}

TEST_F(StateTest, IsRefusedWithFieldsThatCannotBe) {
  const auto edits = {
      +[](evidence::StateStatement& s) { s.consistency = "mostly"; },
      +[](evidence::StateStatement& s) { s.reader = "guess"; },
      +[](evidence::StateStatement& s) { s.page_bytes = 5; },
      +[](evidence::StateStatement& s) { s.policy_digest.clear(); },
      +[](evidence::StateStatement& s) { s.header.vm_uuid = "x"; },
      +[](evidence::StateStatement& s) { s.regions[0].severity = "dire"; },
      +[](evidence::StateStatement& s) { s.regions[0].root.clear(); },
      +[](evidence::StateStatement& s) { s.regions[1].pages = 1; },
      +[](evidence::StateStatement& s) { s.regions[0].unreadable_pages = 3; },
      +[](evidence::StateStatement& s) { s.regions[1].name = "text"; },
      +[](evidence::StateStatement& s) {
        s.findings = {{"x", "dire", "", "", ""}};
      },
      +[](evidence::StateStatement& s) { s.record_count = 1; },
      +[](evidence::StateStatement& s) { s.code_hash = Bytes(3); },
  };
  const evidence::StateStatement good = statement;
  int number = 0;
  for (const auto edit : edits) {
    statement = good;
    edit(statement);
    EXPECT_EQ(Code(Appraise()), reason::kStatementField) << number;
    ++number;
  }
}

TEST_F(StateTest, IsHeldAgainstWhatIsDemanded) {
  demands.approved_subsets = Subsets{{"linux@4", Bytes()}};
  EXPECT_EQ(Code(Appraise()), reason::kSubsetNotApproved);
  demands.approved_subsets = Subsets{{"linux@3", Bytes(32, 8)}};
  EXPECT_EQ(Code(Appraise()), reason::kSubsetNotApproved);
  demands = {};
  demands.min_consistency = "point-in-time";
  EXPECT_EQ(Code(Appraise()), reason::kConsistency);
  demands = {};
  demands.expected_root = Bytes(32, 1);
  EXPECT_EQ(Code(Appraise()), reason::kStateRootUnexpected);
  demands = {};
  demands.refuse_unavailable = true;
  const StateAppraisal appraisal = Appraise();
  EXPECT_EQ(Code(appraisal), reason::kContentUnavailable);
  EXPECT_TRUE(appraisal.genuine);
  demands = {};
  demands.evidence.expected_vm_uuid = "another";
  EXPECT_EQ(Code(Appraise()), reason::kVmMismatch);
}

TEST_F(StateTest, IsHeldAgainstTheKernelThatIsKnown) {
  statement.semantics = "linux";
  statement.kernel_build_id = Bytes(20, 1);
  statement.code_hash = Bytes(32, 2);
  statement.findings = {{"syscall-hooked", "high", "62", "kill", "evil"}};
  demands.kernel_build_id = Bytes(20, 1);
  demands.code_hash = Bytes(32, 2);
  demands.refuse_findings = "critical";
  EXPECT_EQ(Code(Appraise()), "trusted");
  demands.refuse_findings = "medium";
  const StateAppraisal appraisal = Appraise();
  EXPECT_EQ(Code(appraisal), reason::kGuestFinding);
  EXPECT_EQ(appraisal.verdict.reasons[0].element, "syscall-hooked: 62");
  demands = {};
  demands.kernel_build_id = Bytes(20, 9);
  EXPECT_EQ(Code(Appraise()), reason::kKernelUnexpected);
  demands = {};
  demands.code_hash = Bytes(32, 9);
  EXPECT_EQ(Code(Appraise()), reason::kCodeHashUnexpected);
  // Nobody looked: that is no pass.
  statement.findings.clear();
  statement.semantics = "no-linux: firmware";
  demands = {};
  demands.refuse_findings = "critical";
  EXPECT_EQ(Code(Appraise()), reason::kGuestFinding);
  demands.refuse_findings = "dire";
  EXPECT_THAT(VerifyState(Bytes(), anchors, demands, now),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(StateTest, IsNoConfigurationAndNoConfigurationIsMemory) {
  statement.root = evidence::StateRoot(statement.algorithm, statement.regions);
  const auto as_config = Verify(wire::EncodeEvidence(builder.Seal(
                                    std::string(evidence::kStatePayloadType),
                                    wire::EncodeStateStatement(statement))),
                                anchors, policy, now);
  ASSERT_TRUE(as_config.ok());
  EXPECT_FALSE(as_config->verdict.trusted());
  EXPECT_EQ(Codes(*as_config), reason::kPayloadTypeUnexpected);
  builder.key = KeyPurpose::kConfig;
  const auto as_state = VerifyState(builder.BuildFile(), anchors, demands, now);
  ASSERT_TRUE(as_state.ok());
  EXPECT_EQ(Code(*as_state), reason::kPayloadTypeUnexpected);
}

TEST_F(StateTest, CannotDecideWithoutAnchors) {
  EXPECT_THAT(VerifyState(Bytes(), Anchors(), demands, now),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace vmattest::verifier
