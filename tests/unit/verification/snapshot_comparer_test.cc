#include "verification/snapshot_comparer.h"

#include <gmock/gmock.h>

#include "evidence/evidence.h"
#include "support/made_snapshot.h"
#include "support/matchers.h"
#include "support/verifier_rig.h"

namespace vmattest::verification {
namespace {

using baseline::Baseline;
using baseline::MadeSnapshot;
using testing::EvidenceBuilder;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;
using testing::VerifierRig;

constexpr char kClient[] = "spiffe://t/host-1";

class SnapshotComparerTest : public ::testing::Test {
 protected:
  SnapshotComparerTest() {
    builder_.key = KeyPurpose::kState;
    EXPECT_THAT(rig_.Enroll(kClient, host_), IsOk());
    now_.AddRegion("text", 40, 0x100000, "critical");
    now_.AddRegion("data", 40, 0x900000, "low");
    now_.pages.records = {{"syscall/62", "__x64_sys_kill"}};
    now_.statement.semantics = "linux";
    now_.statement.code_hash = DigestBytes(32, 5);
    now_.statement.run = "4";
    Complete();
  }
  // Signed by whom it may concern.
  void Complete() {
    evidence::StateStatement& statement = now_.statement;
    statement.header = builder_.header;
    statement.cause = "request";
    statement.vm_state = "running";
    statement.consistency_requested = statement.consistency = "live";
    statement.reader = "shared-memory";
    now_.Seal();
  }
  Bytes Evidence() {
    Complete();
    return wire::EncodeEvidence(
        builder_.Seal(std::string(evidence::kStatePayloadType),
                      wire::EncodeStateStatement(now_.statement)));
  }
  Baseline Draft(uint64_t revision = 1) {
    Complete();
    Baseline baseline = now_.ToBaseline();
    baseline.revision = revision;
    baseline.header.signature_algorithms = rig_.approver.algorithms();
    return baseline;
  }
  absl::StatusOr<BaselineBook::Put> Approve(const Baseline& baseline) {
    return rig_.baselines.PutDocument(
        rig_.approver.Sign(baseline::kPayloadType, Encode(baseline)).value(),
        wire::EncodeSnapshotPages(now_.pages), VerifierRig::AllVms);
  }
  SnapshotComparer::Request Asked() {
    return {.evidence = Evidence(),
            .nonce = {},
            .guest_report = {},
            .caller = "host",
            .may = VerifierRig::AllVms,
            .host_id = builder_.header.host_id};
  }
  SnapshotComparer::Result Compare() { return Compare(Asked()); }
  SnapshotComparer::Result Compare(const SnapshotComparer::Request& asked) {
    const auto begun = rig_.comparer.Begin(asked);
    EXPECT_THAT(begun, IsOk());
    if (!begun.ok()) {
      return {};
    }
    if (begun->result) {
      return *begun->result;
    }
    const auto baseline =
        rig_.comparer.BaselineOf("host", begun->comparison).value();
    const auto result =
        rig_.comparer.Finish("host", begun->comparison,
                             EncodeDelta(baseline::DeltaOf(*baseline, now_)));
    EXPECT_THAT(result, IsOk());
    return result.value_or(SnapshotComparer::Result());
  }
  static std::string Code(const SnapshotComparer::Result& result) {
    return result.decision.reasons.empty() ? "trusted"
                                           : result.decision.reasons[0].code;
  }

  VerifierRig rig_;
  testing::SoftHost host_;
  EvidenceBuilder builder_{host_};
  MadeSnapshot now_;
};

TEST_F(SnapshotComparerTest, TheSameMemoryIsTrustedAndStored) {
  ASSERT_TRUE(Approve(Draft())->verdict.trusted());
  const auto result = Compare();
  EXPECT_EQ(Code(result), "trusted");
  EXPECT_TRUE(result.decision.trusted);
  EXPECT_EQ(result.score, 100U);
  EXPECT_TRUE(result.compared);
  const auto stored = rig_.store.FindDecision(result.decision.sequence).value();
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->reference, "baseline:web@1");
  EXPECT_EQ(stored->vm_uuid, builder_.header.vm_uuid);
  EXPECT_TRUE(stored->genuine);
  EXPECT_FALSE(stored->ear.empty());
}

TEST_F(SnapshotComparerTest, WhatChangedIsNamedAndScored) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  now_.ChangePage(1, 7);
  const auto low = Compare();
  EXPECT_EQ(low.score, 98U);
  EXPECT_TRUE(low.decision.trusted);
  now_.ChangePage(0, 3);
  now_.pages.records[0].text = "elsewhere";
  const auto result = Compare();
  EXPECT_FALSE(result.decision.trusted);
  EXPECT_EQ(Code(result), "baseline-score");
  EXPECT_EQ(result.score, 0U);
  ASSERT_THAT(result.decision.reasons, SizeIs(4));
  EXPECT_EQ(result.decision.reasons[1].element, "text: physical 0x103000");
  EXPECT_EQ(result.decision.reasons[2].element, "syscall/62");
  EXPECT_THAT(result.decision.reasons[2].found,
              HasSubstr("elsewhere [critical, code]"));
}

// A module that the guest does not tell of, although it was there before and
// after; what it told before this verifier knew the snapshot before counts not.
TEST_F(SnapshotComparerTest, AGuestIsHeldToWhatItsMemorySays) {
  now_.pages.records = {{"module/evil", "listed text=1"},
                        {"module/virtio", "listed text=1"}};
  ASSERT_THAT(Approve(Draft()), IsOk());
  baseline::GuestReport report;
  report.vm_uuid = builder_.header.vm_uuid;
  report.modules = {"virtio"};
  const auto ask_after = [&](const Bytes& evidence) {
    report.after = Hash(HashAlgorithm::kSha256,
                        wire::ParseEvidence(evidence)->envelope.payload);
    builder_.header.nonce = NonceOf(report);
  };
  ask_after(Evidence());
  SnapshotComparer::Request asked = Asked();
  asked.guest_report = Encode(report);
  const auto unknown = Compare(asked);
  EXPECT_TRUE(unknown.decision.trusted);
  ASSERT_THAT(unknown.differences, SizeIs(1));
  EXPECT_EQ(unknown.differences[0].code, "cross-view-order");

  ask_after(asked.evidence);  // it knows that one now
  asked = Asked();
  asked.guest_report = Encode(report);
  const auto hidden = Compare(asked);
  EXPECT_EQ(Code(hidden), "baseline-score");
  ASSERT_THAT(hidden.decision.reasons, SizeIs(2));
  EXPECT_EQ(hidden.decision.reasons[1].code, "cross-view-modules");
  EXPECT_EQ(hidden.decision.reasons[1].element, "module/evil");

  report.modules = {"evil", "virtio"};
  ask_after(asked.evidence);
  asked = Asked();
  asked.guest_report = Encode(report);
  EXPECT_EQ(Code(Compare(asked)), "trusted");
  asked.guest_report.pop_back();
  EXPECT_THAT(rig_.comparer.Begin(asked),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SnapshotComparerTest, WithoutABaselineNothingIsTrusted) {
  EXPECT_EQ(Code(Compare()), "baseline-none");
  Baseline later = Draft();
  later.header.not_before_unix_ms = VerifierRig::kNow + 1'000;
  ASSERT_THAT(Approve(later), IsOk());
  EXPECT_EQ(Code(Compare()), "baseline-none") << "not valid yet";
  Baseline ended = Draft(2);
  ended.header.not_after_unix_ms = VerifierRig::kNow + 1'000;
  ASSERT_THAT(Approve(ended), IsOk());
  EXPECT_EQ(Code(Compare()), "trusted");
  rig_.clock.Advance(std::chrono::seconds(2));
  EXPECT_EQ(Code(Compare()), "baseline-none") << "run out";
}

TEST_F(SnapshotComparerTest, WhoIsNoApproverAnyMoreHasApprovedNothing) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  EXPECT_EQ(Code(Compare()), "trusted");
  rig_.approvers.Set({});
  EXPECT_EQ(Code(Compare()), "baseline-none");
}

TEST_F(SnapshotComparerTest, ABaselineOfEveryVmIsSecondToItsOwn) {
  Baseline every = Draft();
  every.name = "every";
  every.vm_uuids = {"*"};
  ASSERT_THAT(Approve(every), IsOk());
  EXPECT_EQ(Compare().decision.reference, "baseline:every@1");
  ASSERT_THAT(Approve(Draft()), IsOk());
  EXPECT_EQ(Compare().decision.reference, "baseline:web@1");
}

TEST_F(SnapshotComparerTest, NoOtherTextOfThePolicyPasses) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  now_.statement.policy_digest[0] ^= 1;
  const auto result = Compare();
  EXPECT_EQ(Code(result), "subset-not-approved");
  EXPECT_FALSE(result.compared);
}

TEST_F(SnapshotComparerTest, AnOldSnapshotIsNoPass) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  rig_.clock.Advance(std::chrono::minutes(10));
  EXPECT_EQ(Code(Compare()), "time-too-old");
}

TEST_F(SnapshotComparerTest, TheNonceMustBeInIt) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  SnapshotComparer::Request asked = Asked();
  asked.nonce = Bytes(32, 9);
  const auto begun = rig_.comparer.Begin(asked);
  ASSERT_THAT(begun, IsOk());
  ASSERT_TRUE(begun->result);
  EXPECT_EQ(Code(*begun->result), "nonce-mismatch");
}

TEST_F(SnapshotComparerTest, HostsThatDoNotCountAreRefused) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  ASSERT_THAT(rig_.hosts.Revoke(builder_.header.host_id, "stolen"), IsOk());
  EXPECT_EQ(Code(Compare()), "host-revoked");
}

TEST_F(SnapshotComparerTest, NobodySpeaksForOthers) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  SnapshotComparer::Request other = Asked();
  other.host_id = "bb";
  EXPECT_THAT(rig_.comparer.Begin(other),
              StatusIs(absl::StatusCode::kPermissionDenied));
  SnapshotComparer::Request customer = Asked();
  customer.host_id.reset();
  customer.may = [](const std::string&) { return false; };
  EXPECT_THAT(rig_.comparer.Begin(customer),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(SnapshotComparerTest, BadEvidenceIsADecision) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  SnapshotComparer::Request asked = Asked();
  asked.evidence = ToBytes("nothing");
  auto begun = rig_.comparer.Begin(asked);
  ASSERT_THAT(begun, IsOk());
  EXPECT_EQ(Code(*begun->result), "evidence-malformed");
  builder_.key = KeyPurpose::kConfig;
  const auto wrong_key = Compare();
  EXPECT_FALSE(wrong_key.decision.trusted);
  EXPECT_FALSE(wrong_key.decision.genuine);
}

TEST_F(SnapshotComparerTest, WhatIsNotProvedIsRefused) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  now_.ChangePage(0, 1);
  const auto finish = [&](const Bytes& delta) {
    const auto begun = rig_.comparer.Begin(Asked());
    return rig_.comparer.Finish("host", begun->comparison, delta).value();
  };
  EXPECT_EQ(Code(finish(baseline::EncodeDelta({}))), "delta-unproved");
  EXPECT_EQ(Code(finish(ToBytes("nothing"))), "delta-malformed");
  EXPECT_EQ(Code(finish({})), "delta-malformed");
}

TEST_F(SnapshotComparerTest, AComparisonIsItsCallersForAWhile) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  const auto begun = rig_.comparer.Begin(Asked());
  const auto not_found = StatusIs(absl::StatusCode::kNotFound);
  EXPECT_THAT(rig_.comparer.BaselineOf("other", begun->comparison), not_found);
  EXPECT_THAT(rig_.comparer.Finish("other", begun->comparison, {}), not_found);
  EXPECT_THAT(rig_.comparer.BaselineOf("host", begun->comparison), IsOk());
  rig_.clock.Advance(std::chrono::minutes(3));
  EXPECT_THAT(rig_.comparer.Finish("host", begun->comparison, {}), not_found);
}

TEST_F(SnapshotComparerTest, NobodyTakesAllThePlaces) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  const SnapshotComparer::Request asked = Asked();
  for (int i = 0; i < 8; ++i) {
    ASSERT_THAT(rig_.comparer.Begin(asked), IsOk());
  }
  EXPECT_THAT(rig_.comparer.Begin(asked),
              StatusIs(absl::StatusCode::kResourceExhausted));
  SnapshotComparer::Request other = asked;
  other.caller = "other";
  EXPECT_THAT(rig_.comparer.Begin(other), IsOk());
}

TEST_F(SnapshotComparerTest, AfterAStartOnlyWhatLastsIsCompared) {
  ASSERT_THAT(Approve(Draft()), IsOk());
  now_.statement.run = "5";
  now_.ChangePage(0, 1);
  const auto result = Compare();
  EXPECT_TRUE(result.other_run);
  EXPECT_EQ(Code(result), "trusted");
  EXPECT_THAT(result.differences, IsEmpty());
  now_.pages.records[0].text = "elsewhere";
  EXPECT_EQ(Compare().score, 50U);
}

TEST_F(SnapshotComparerTest, AfterAStartPagesAloneProveNothing) {
  now_.pages.records.clear();
  now_.statement.code_hash.clear();
  ASSERT_THAT(Approve(Draft()), IsOk());
  EXPECT_EQ(Code(Compare()), "trusted");
  now_.statement.run = "5";
  EXPECT_EQ(Code(Compare()), "baseline-other-run");
}

TEST_F(SnapshotComparerTest, TheCommandLineInMemoryMustBeTheConfigured) {
  EvidenceBuilder configuration(host_);
  configuration.leaves.push_back({"os/cmdline", LeafType::kText, "quiet"});
  std::sort(configuration.leaves.begin(), configuration.leaves.end());
  ASSERT_THAT(rig_.Appraise(configuration.BuildFile()), IsOk());
  now_.pages.records.push_back({"kernel/cmdline", "quiet"});
  ASSERT_THAT(Approve(Draft()), IsOk());
  EXPECT_EQ(Code(Compare()), "trusted");
  now_.pages.records[0].text = "quiet init=/bin/sh";
  const auto result = Compare();
  ASSERT_FALSE(result.differences.empty());
  EXPECT_EQ(result.differences[0].code, "cross-view-cmdline");
}

TEST_F(SnapshotComparerTest, BaselinesNeverGoBackAndAreOfTheirPages) {
  ASSERT_THAT(Approve(Draft(2)), IsOk());
  EXPECT_THAT(Approve(Draft(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  Baseline other = Draft(3);
  other.pages_digest[0] ^= 1;
  EXPECT_THAT(Approve(other), StatusIs(absl::StatusCode::kInvalidArgument));
  Baseline ended = Draft(3);
  ended.header.not_after_unix_ms = VerifierRig::kNow - 1;
  EXPECT_THAT(Approve(ended), StatusIs(absl::StatusCode::kInvalidArgument));
  const auto stranger = document::PrivateKey::Generate("eve", std::nullopt);
  Baseline forged = Draft(3);
  const auto put = rig_.baselines.PutDocument(
      stranger->Sign(baseline::kPayloadType, Encode(forged)).value(),
      wire::EncodeSnapshotPages(now_.pages), VerifierRig::AllVms);
  ASSERT_THAT(put, IsOk());
  EXPECT_EQ(put->verdict.reasons[0].code, "document-signer-unknown");
}

}  // namespace
}  // namespace vmattest::verification
