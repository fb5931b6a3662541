#include "daemon/embedded_state_verifier.h"

#include "gmock/gmock.h"
#include "support/made_snapshot.h"
#include "support/matchers.h"
#include "support/verifier_rig.h"

namespace vmattest::daemon {
namespace {

using baseline::MadeSnapshot;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::SizeIs;
using testing::SoftHost;
using testing::StatusIs;
using testing::VerifierRig;

class EmbeddedStateVerifierTest : public ::testing::Test {
 protected:
  EmbeddedStateVerifierTest() {
    builder_.key = KeyPurpose::kState;
    now_.AddRegion("ram", 2'000, 0x100000, "critical");
    now_.pages.records = {{"syscall/62", "__x64_sys_kill"}};
  }
  Bytes Evidence() {
    evidence::StateStatement& statement = now_.statement;
    statement.header = builder_.header;
    statement.cause = "request";
    statement.consistency_requested = statement.consistency = "live";
    statement.reader = "shared-memory";
    now_.Seal();
    return wire::EncodeEvidence(
        builder_.Seal(std::string(evidence::kStatePayloadType),
                      wire::EncodeStateStatement(statement)));
  }
  void PutBaseline() {
    (void)Evidence();
    baseline::Baseline baseline = now_.ToBaseline();
    baseline.header.signature_algorithms = rig_.approver.algorithms();
    const Bytes document =
        rig_.approver.Sign(baseline::kPayloadType, Encode(baseline)).value();
    const auto put = rig_.baselines.PutDocument(
        document, wire::EncodeSnapshotPages(now_.pages), VerifierRig::AllVms);
    ASSERT_THAT(put, IsOk());
    ASSERT_TRUE(put->verdict.trusted());
  }
  absl::StatusOr<capture::SnapshotVerdict> Compare() {
    ASSIGN_OR_RETURN(const auto comparison,
                     verifier_.Begin(Evidence(), {}, MonotonicTime::max()));
    if (comparison->verdict()) {
      return *comparison->verdict();
    }
    ASSIGN_OR_RETURN(
        const baseline::Delta delta,
        MakeDelta(comparison->against(), now_.statement, now_.pages,
                  *comparison, baseline::kShortPrefix));
    return comparison->Finish(delta);
  }

  VerifierRig rig_;
  SoftHost host_;
  testing::EvidenceBuilder builder_{host_};
  std::optional<evidence::HostIdentity> identity_ = host_.Identity();
  MadeSnapshot now_;
  EmbeddedStateVerifier verifier_{rig_.comparer, rig_.hosts,
                                  [this] { return identity_; }};
};

TEST_F(EmbeddedStateVerifierTest, DecidesWithTheBaselinesThatAreServed) {
  const auto none = Compare();
  ASSERT_THAT(none, IsOk());
  EXPECT_TRUE(none->genuine);
  EXPECT_TRUE(none->lacks_baseline());
  PutBaseline();
  const auto good = Compare();
  ASSERT_THAT(good, IsOk());
  EXPECT_TRUE(good->trusted);
  EXPECT_EQ(good->score, 100U);
  EXPECT_EQ(good->baseline, "baseline:web@3");
  EXPECT_EQ(rig_.hosts.Get(host_.host_id())->ek_trust, "own");

  now_.ChangePage(0, 1'234);
  now_.pages.records[0].text = "elsewhere";
  const auto bad = Compare();
  ASSERT_THAT(bad, IsOk());
  EXPECT_FALSE(bad->trusted);
  EXPECT_TRUE(bad->compared);
  EXPECT_EQ(bad->failures[0].code, "baseline-score");
  ASSERT_THAT(bad->differences, SizeIs(2));
  EXPECT_THAT(bad->differences[0], HasSubstr("ram: physical 0x5d2000"));
  const auto decisions = rig_.store.Decisions({.limit = 10});
  ASSERT_THAT(*decisions, SizeIs(3));
  EXPECT_EQ(decisions->front().sequence, bad->decision);
  EXPECT_EQ(decisions->front().ear, bad->ear);
}

TEST_F(EmbeddedStateVerifierTest, ARevokedHostsSnapshotsCountForNothing) {
  PutBaseline();
  ASSERT_THAT(Compare(), IsOk());
  ASSERT_THAT(rig_.hosts.Revoke(host_.host_id(), "sold"), IsOk());
  const auto refused = Compare();
  ASSERT_THAT(refused, IsOk());
  EXPECT_FALSE(refused->trusted);
  EXPECT_FALSE(refused->lacks_baseline());
  EXPECT_EQ(refused->failures[0].code, "host-revoked");
}

TEST_F(EmbeddedStateVerifierTest, BeforeTheTpmIsReachedNobodyDecides) {
  identity_.reset();
  EXPECT_THAT(Compare(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vmattest::daemon
