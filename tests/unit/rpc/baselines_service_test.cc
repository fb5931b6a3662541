// The service Baselines over TLS, and the client that a host uses.
#include "gmock/gmock.h"
#include "rpc/client/grpc_state_verifier.h"
#include "rpc/verifier_fixture.h"
#include "support/made_snapshot.h"

namespace vmattest::rpc {
namespace {

using baseline::MadeSnapshot;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::VerifierRig;

class BaselinesServiceTest : public VerifierServerTest {
 protected:
  BaselinesServiceTest() {
    EXPECT_THAT(rig_.Enroll(kHostUri, host_), IsOk());
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
  v1::PutBaselineRequest Baseline(uint64_t revision = 1) {
    (void)Evidence();
    baseline::Baseline baseline = now_.ToBaseline();
    baseline.revision = revision;
    baseline.header.signature_algorithms = rig_.approver.algorithms();
    const Bytes document =
        rig_.approver.Sign(baseline::kPayloadType, Encode(baseline)).value();
    const Bytes pages = wire::EncodeSnapshotPages(now_.pages);
    v1::PutBaselineRequest request;
    request.set_document(document.data(), document.size());
    request.set_pages(pages.data(), pages.size());
    return request;
  }
  absl::Status Put(const std::string& uri, const v1::PutBaselineRequest& put) {
    v1::PutBaselineResponse response;
    return Call(*v1::Baselines::NewStub(As(uri)),
                &v1::Baselines::Stub::PutBaseline, put, &response);
  }
  absl::StatusOr<capture::SnapshotVerdict> CompareAs(const std::string& uri) {
    GrpcStateVerifier verifier(As(uri));
    ASSIGN_OR_RETURN(const auto comparison,
                     verifier.Begin(Evidence(), {},
                                    std::chrono::steady_clock::now() +
                                        std::chrono::seconds(20)));
    if (comparison->verdict()) {
      return *comparison->verdict();
    }
    ASSIGN_OR_RETURN(
        const baseline::Delta delta,
        MakeDelta(comparison->against(), now_.statement, now_.pages,
                  *comparison, baseline::kShortPrefix));
    return comparison->Finish(delta);
  }

  MadeSnapshot now_;
};

TEST_F(BaselinesServiceTest, AHostWalksToItsVerdict) {
  auto none = CompareAs(kHostUri);
  ASSERT_THAT(none, IsOk());
  EXPECT_FALSE(none->compared);
  EXPECT_EQ(none->failures[0].code, "baseline-none");
  ASSERT_THAT(Put(kCustomerUri, Baseline()), IsOk());
  EXPECT_TRUE(CompareAs(kHostUri)->trusted);
  now_.ChangePage(0, 1'234);
  now_.pages.records[0].text = "elsewhere";
  const auto changed = CompareAs(kHostUri);
  ASSERT_THAT(changed, IsOk());
  EXPECT_FALSE(changed->trusted);
  EXPECT_TRUE(changed->compared);
  EXPECT_EQ(changed->score, 0U);
  EXPECT_EQ(changed->baseline, "baseline:web@1");
  ASSERT_EQ(changed->differences.size(), 2U);
  EXPECT_THAT(changed->differences[0], HasSubstr("ram: physical 0x5d2000"));
  EXPECT_THAT(changed->differences[1], HasSubstr("critical syscall/62"));
  v1::ListDecisionsResponse decisions;
  ASSERT_THAT(
      Call(*VerifierAs(kCustomerUri), &v1::Verifier::Stub::ListDecisions,
           v1::ListDecisionsRequest(), &decisions),
      IsOk());
  ASSERT_EQ(decisions.decisions_size(), 3);
  EXPECT_EQ(decisions.decisions(0).reference(), "baseline:web@1");
}

TEST_F(BaselinesServiceTest, EverybodySeesTheirOwn) {
  EXPECT_EQ(ReasonOf(Put(kOtherCustomerUri, Baseline())).reason, "VM_DENIED");
  ASSERT_THAT(Put(kCustomerUri, Baseline()), IsOk());
  EXPECT_EQ(ReasonOf(Put(kOtherCustomerUri, Baseline(2))).reason, "VM_DENIED");
  EXPECT_EQ(ReasonOf(Put(kOperatorUri, Baseline())).reason,
            "BASELINE_REVISION");
  const auto listed = [this](const std::string& uri) {
    v1::ListBaselinesResponse list;
    EXPECT_THAT(Call(*v1::Baselines::NewStub(As(uri)),
                     &v1::Baselines::Stub::ListBaselines,
                     v1::ListBaselinesRequest(), &list),
                IsOk());
    return list.baselines_size();
  };
  EXPECT_EQ(listed(kAuditorUri), 1);
  EXPECT_EQ(listed(kOtherCustomerUri), 0);
  v1::GetBaselineRequest get;
  get.set_name("web");
  get.set_with_pages(true);
  v1::GetBaselineResponse got;
  EXPECT_EQ(ReasonOf(Call(*v1::Baselines::NewStub(As(kOtherCustomerUri)),
                          &v1::Baselines::Stub::GetBaseline, get, &got))
                .reason,
            "BASELINE_NOT_FOUND");
  ASSERT_THAT(Call(*v1::Baselines::NewStub(As(kAuditorUri)),
                   &v1::Baselines::Stub::GetBaseline, get, &got),
              IsOk());
  EXPECT_EQ(got.pages(), Baseline().pages());
  EXPECT_EQ(ReasonOf(CompareAs(kOtherHostUri).status()).reason,
            "HOST_NOT_ENROLLED");
  EXPECT_EQ(ReasonOf(CompareAs(kOtherCustomerUri).status()).reason,
            "VM_DENIED");
  EXPECT_TRUE(CompareAs(kCustomerUri)->trusted);
}

TEST_F(BaselinesServiceTest, AForeignHandleIsNone) {
  v1::ReadNodesRequest read;
  read.set_comparison(std::string(16, 'x'));
  v1::ReadNodesResponse nodes;
  EXPECT_EQ(ReasonOf(Call(*v1::Baselines::NewStub(As(kHostUri)),
                          &v1::Baselines::Stub::ReadNodes, read, &nodes))
                .reason,
            "COMPARISON_NOT_FOUND");
}

TEST_F(BaselinesServiceTest, WhatNobodyApprovedIsRefused) {
  v1::PutBaselineRequest put = Baseline();
  (*put.mutable_document())[put.document().size() - 1] ^= 1;
  EXPECT_EQ(ReasonOf(Put(kOperatorUri, put)).reason, "DOCUMENT_REFUSED");
  put = Baseline();
  put.set_pages("other");
  EXPECT_EQ(ReasonOf(Put(kOperatorUri, put)).reason, "BASELINE_INVALID");
}

}  // namespace
}  // namespace vmattest::rpc
