#include "rpc/verifier_service.h"

#include "enrollment/credential.h"
#include "gmock/gmock.h"
#include "rpc/verifier_fixture.h"

namespace vmattest::rpc {
namespace {

using testing::EvidenceBuilder;
using testing::IsOk;
using testing::SoftHost;
using testing::StatusIs;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kNotFound = absl::StatusCode::kNotFound;

class VerifierServiceTest : public VerifierServerTest {
 protected:
  // Over the wire, as a host does it.
  absl::StatusOr<v1::Host> Enroll(const std::string& uri, const SoftHost& host,
                                  const evidence::HostIdentity& identity) {
    const auto stub = EnrollmentAs(uri);
    const Bytes bytes = wire::EncodeHostIdentity(identity);
    v1::BeginEnrollmentRequest begin;
    begin.mutable_identity()->ParseFromArray(bytes.data(),
                                             static_cast<int>(bytes.size()));
    v1::BeginEnrollmentResponse challenge;
    RETURN_IF_ERROR(
        Call(*stub, &v1::Enrollment::Stub::BeginEnrollment, begin, &challenge));
    ASSIGN_OR_RETURN(
        const SecretBytes secret,
        host.ek.Activate(host.ak.name(), AsBytes(challenge.credential_blob()),
                         AsBytes(challenge.encrypted_secret())));
    v1::CompleteEnrollmentRequest complete;
    complete.set_challenge_id(challenge.challenge_id());
    complete.set_proof(
        std::string(AsText(enrollment::EnrollmentProof(secret, bytes))));
    v1::CompleteEnrollmentResponse done;
    RETURN_IF_ERROR(Call(*stub, &v1::Enrollment::Stub::CompleteEnrollment,
                         complete, &done));
    return done.host();
  }
  void EnrollAndApprove() {
    ASSERT_THAT(Enroll(kHostUri, host_, rig_.IdentityOf(host_)), IsOk());
    v1::PutReferenceRequest put;
    put.set_document(
        std::string(AsText(rig_.Sign(rig_.Learned(builder_, "web")))));
    v1::PutReferenceResponse response;
    ASSERT_THAT(Call(*VerifierAs(kCustomerUri),
                     &v1::Verifier::Stub::PutReference, put, &response),
                IsOk());
    EXPECT_EQ(response.name(), "web");
  }
  absl::StatusOr<v1::AppraiseResponse> Appraise(const std::string& uri,
                                                const Bytes& evidence) {
    v1::AppraiseRequest request;
    request.set_evidence(std::string(AsText(evidence)));
    v1::AppraiseResponse response;
    RETURN_IF_ERROR(Call(*VerifierAs(uri), &v1::Verifier::Stub::Appraise,
                         request, &response));
    return response;
  }
  Bytes Changed() {
    EvidenceBuilder changed(host_);
    changed.leaves.front().value += "x";
    return changed.BuildFile();
  }
};

TEST_F(VerifierServiceTest, HostEnrolsAndItsEvidenceIsAppraised) {
  EnrollAndApprove();
  ASSERT_OK_AND_ASSIGN(const auto result,
                       Appraise(kHostUri, builder_.BuildFile()));
  EXPECT_TRUE(result.trusted());
  EXPECT_EQ(result.reference(), "web@1");
  v1::GetVerificationKeysResponse keys;
  ASSERT_THAT(
      Call(*VerifierAs(kCustomerUri), &v1::Verifier::Stub::GetVerificationKeys,
           v1::GetVerificationKeysRequest(), &keys),
      IsOk());
  const auto parsed = token::ParseJwkSet(keys.jwk_set()).value();
  EXPECT_TRUE(token::VerifyEar(result.ear(), parsed, {.now = rig_.clock.Now()})
                  .verdict.trusted());
}

TEST_F(VerifierServiceTest, RefusalsOfAnIdentityCarryTheVerdict) {
  evidence::HostIdentity identity = host_.Identity();
  identity.ek_certificate = testing::EkPki().Issue(identity.ek_public);
  const absl::Status status = Enroll(kHostUri, host_, identity).status();
  EXPECT_THAT(status, StatusIs(kDenied));
  EXPECT_EQ(ReasonOf(status).reason, "IDENTITY_REFUSED");
  EXPECT_EQ(ReasonOf(status).metadata.at("code"), "ek-certificate-chain");
}

TEST_F(VerifierServiceTest, ProofOfAnotherClientIsWorthNothing) {
  const Bytes bytes = wire::EncodeHostIdentity(rig_.IdentityOf(host_));
  v1::BeginEnrollmentRequest begin;
  begin.mutable_identity()->ParseFromArray(bytes.data(),
                                           static_cast<int>(bytes.size()));
  v1::BeginEnrollmentResponse challenge;
  ASSERT_THAT(Call(*EnrollmentAs(kHostUri),
                   &v1::Enrollment::Stub::BeginEnrollment, begin, &challenge),
              IsOk());
  const SecretBytes secret =
      host_.ek
          .Activate(host_.ak.name(), AsBytes(challenge.credential_blob()),
                    AsBytes(challenge.encrypted_secret()))
          .value();
  v1::CompleteEnrollmentRequest complete;
  complete.set_challenge_id(challenge.challenge_id());
  complete.set_proof(
      std::string(AsText(enrollment::EnrollmentProof(secret, bytes))));
  v1::CompleteEnrollmentResponse done;
  EXPECT_THAT(Call(*EnrollmentAs(kOtherHostUri),
                   &v1::Enrollment::Stub::CompleteEnrollment, complete, &done),
              StatusIs(kNotFound));
  EXPECT_TRUE(rig_.store.ListHosts("", 10)->empty());
}

TEST_F(VerifierServiceTest, HostSpeaksForItsOwnHostOnly) {
  EnrollAndApprove();
  const SoftHost second("host-2");
  ASSERT_THAT(Enroll(kOtherHostUri, second, rig_.IdentityOf(second)), IsOk());
  const absl::Status status =
      Appraise(kOtherHostUri, builder_.BuildFile()).status();
  EXPECT_THAT(status, StatusIs(kDenied));
  EXPECT_EQ(ReasonOf(status).reason, "VM_DENIED");
}

TEST_F(VerifierServiceTest, RevokedHostIsRefused) {
  EnrollAndApprove();
  v1::RevokeHostRequest revoke;
  revoke.set_host_id(host_.host_id());
  revoke.set_reason("stolen");
  v1::RevokeHostResponse revoked;
  ASSERT_THAT(Call(*EnrollmentAs(kOperatorUri),
                   &v1::Enrollment::Stub::RevokeHost, revoke, &revoked),
              IsOk());
  EXPECT_EQ(revoked.host().state(), "revoked");
  EXPECT_THAT(Appraise(kHostUri, builder_.BuildFile()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const auto result,
                       Appraise(kOperatorUri, builder_.BuildFile()));
  EXPECT_FALSE(result.trusted());
  EXPECT_EQ(result.failures(0).code(), "host-revoked");
  EXPECT_THAT(Enroll(kHostUri, host_, rig_.IdentityOf(host_)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(VerifierServiceTest, CustomersSeeTheirVmsOnly) {
  EnrollAndApprove();
  const Bytes evidence = builder_.BuildFile();
  ASSERT_OK_AND_ASSIGN(const auto result, Appraise(kCustomerUri, evidence));
  EXPECT_THAT(Appraise(kOtherCustomerUri, builder_.BuildFile()),
              StatusIs(kDenied));
  const auto decisions = [&](const std::string& uri) {
    v1::ListDecisionsResponse list;
    EXPECT_THAT(Call(*VerifierAs(uri), &v1::Verifier::Stub::ListDecisions,
                     v1::ListDecisionsRequest(), &list),
                IsOk());
    return list.decisions_size();
  };
  EXPECT_EQ(decisions(kCustomerUri), 1);
  EXPECT_EQ(decisions(kAuditorUri), 1);
  EXPECT_EQ(decisions(kOperatorUri), 1);
  EXPECT_EQ(decisions(kOtherCustomerUri), 0);
  v1::GetDecisionRequest get;
  get.set_sequence(result.decision());
  v1::GetDecisionResponse got;
  EXPECT_THAT(Call(*VerifierAs(kCustomerUri), &v1::Verifier::Stub::GetDecision,
                   get, &got),
              IsOk());
  EXPECT_EQ(got.evidence(), AsText(evidence));
  EXPECT_EQ(got.decision().ear(), result.ear());
  EXPECT_THAT(Call(*VerifierAs(kOtherCustomerUri),
                   &v1::Verifier::Stub::GetDecision, get, &got),
              StatusIs(kNotFound));
  v1::GetReferenceRequest reference;
  reference.set_name("web");
  v1::GetReferenceResponse document;
  EXPECT_THAT(Call(*VerifierAs(kCustomerUri), &v1::Verifier::Stub::GetReference,
                   reference, &document),
              IsOk());
  EXPECT_THAT(Call(*VerifierAs(kOtherCustomerUri),
                   &v1::Verifier::Stub::GetReference, reference, &document),
              StatusIs(kNotFound));
  v1::LearnReferenceRequest learn;
  learn.set_vm_uuid(vm());
  learn.set_name("x");
  v1::LearnReferenceResponse learned;
  EXPECT_THAT(Call(*VerifierAs(kOtherCustomerUri),
                   &v1::Verifier::Stub::LearnReference, learn, &learned),
              StatusIs(kDenied));
  EXPECT_THAT(Call(*VerifierAs(kCustomerUri),
                   &v1::Verifier::Stub::LearnReference, learn, &learned),
              IsOk());
}

TEST_F(VerifierServiceTest, DecisionsArePagedForThoseWithFewVms) {
  EnrollAndApprove();
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(Appraise(kHostUri, builder_.BuildFile()), IsOk());
  }
  v1::ListDecisionsRequest request;
  request.set_page_size(2);
  v1::ListDecisionsResponse page;
  const auto customer = VerifierAs(kCustomerUri);
  ASSERT_THAT(
      Call(*customer, &v1::Verifier::Stub::ListDecisions, request, &page),
      IsOk());
  ASSERT_EQ(page.decisions_size(), 2);
  request.set_before_sequence(page.decisions(1).sequence());
  ASSERT_THAT(
      Call(*customer, &v1::Verifier::Stub::ListDecisions, request, &page),
      IsOk());
  EXPECT_EQ(page.decisions_size(), 1);
}

TEST_F(VerifierServiceTest, AlertsAreReplayedThenLiveAndOnlyOnesOwn) {
  EnrollAndApprove();  // two events
  ASSERT_THAT(Appraise(kHostUri, Changed()), IsOk());
  const auto customer = VerifierAs(kCustomerUri);
  grpc::ClientContext context;
  context.set_deadline(In(std::chrono::seconds(20)));
  v1::WatchAlertsRequest request;
  request.set_after_sequence(1);
  const auto reader = customer->WatchAlerts(&context, request);
  v1::WatchAlertsResponse alert;
  ASSERT_TRUE(reader->Read(&alert));
  EXPECT_EQ(alert.decision().kind(), "reference");
  EXPECT_EQ(alert.decision().reference(), "web@1");
  ASSERT_TRUE(reader->Read(&alert));
  EXPECT_EQ(alert.decision().sequence(), 3u);
  EXPECT_FALSE(alert.decision().trusted());
  // Trusted ones are none, nor are those of hosts.
  ASSERT_THAT(Appraise(kHostUri, builder_.BuildFile()), IsOk());
  ASSERT_THAT(rig_.hosts.Revoke(host_.host_id(), ""), IsOk());
  ASSERT_THAT(Appraise(kOperatorUri, builder_.BuildFile()), IsOk());
  ASSERT_TRUE(reader->Read(&alert));
  EXPECT_EQ(alert.decision().failures(0).code(), "host-revoked");
  context.TryCancel();
}

TEST_F(VerifierServiceTest, WatchingFromWhatIsNotKeptIsAnError) {
  v1::WatchAlertsRequest request;
  request.set_after_sequence(99);
  grpc::ClientContext context;
  context.set_deadline(In(std::chrono::seconds(20)));
  const auto stub = VerifierAs(kOperatorUri);
  const auto reader = stub->WatchAlerts(&context, request);
  v1::WatchAlertsResponse alert;
  EXPECT_FALSE(reader->Read(&alert));
  const absl::Status status = FromGrpc(reader->Finish());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(ReasonOf(status).reason, "EVENTS_NOT_KEPT");
}

TEST_F(VerifierServiceTest, HostGetsItsPolicy) {
  EnrollAndApprove();
  ASSERT_THAT(Appraise(kHostUri, builder_.BuildFile()), IsOk());
  v1::GetHostPolicyResponse policy;
  ASSERT_THAT(Call(*VerifierAs(kHostUri), &v1::Verifier::Stub::GetHostPolicy,
                   v1::GetHostPolicyRequest(), &policy),
              IsOk());
  EXPECT_EQ(policy.references_size(), 1);
  EXPECT_FALSE(policy.host_record().empty());
  EXPECT_EQ(policy.revocation_epoch(), 0u);
  EXPECT_THAT(
      Call(*VerifierAs(kOtherHostUri), &v1::Verifier::Stub::GetHostPolicy,
           v1::GetHostPolicyRequest(), &policy),
      StatusIs(kNotFound));
}

TEST_F(VerifierServiceTest, MalformedFieldsAreNamed) {
  v1::GetHostRequest get;
  get.set_host_id("../x");
  v1::GetHostResponse host;
  EXPECT_THAT(Call(*EnrollmentAs(kOperatorUri), &v1::Enrollment::Stub::GetHost,
                   get, &host),
              StatusIs(absl::StatusCode::kInvalidArgument));
  v1::SimulateRequest simulate;
  v1::SimulateResponse simulated;
  EXPECT_THAT(Call(*VerifierAs(kOperatorUri), &v1::Verifier::Stub::Simulate,
                   simulate, &simulated),
              StatusIs(absl::StatusCode::kInvalidArgument));
  v1::AppraiseRequest appraise;
  appraise.set_nonce("short");
  v1::AppraiseResponse result;
  const absl::Status status =
      Call(*VerifierAs(kOperatorUri), &v1::Verifier::Stub::Appraise, appraise,
           &result);
  EXPECT_EQ(ReasonOf(status),
            (ErrorInfo{"FIELD_INVALID", {{"field", "nonce"}}}));
}

}  // namespace
}  // namespace vmattest::rpc
