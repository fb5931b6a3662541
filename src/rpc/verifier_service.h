#ifndef VMATTEST_RPC_VERIFIER_SERVICE_H_
#define VMATTEST_RPC_VERIFIER_SERVICE_H_

#include <string_view>

#include "rpc/alert_stream.h"
#include "rpc/authorizer.h"
#include "rpc/run_on.h"
#include "rpc/verification_parts.h"
#include "vmattest/v1/verifier.grpc.pb.h"

namespace vmattest::rpc {

// vmattest.v1.Verifier for one listener. Handlers run on gRPC's threads and
// never block: authorise, hand over. Each caller sees the VMs of its grant
// only; a host, those that its own evidence is about.
class VerifierService final : public v1::Verifier::CallbackService {
 public:
  // `authorizer` and everything in `parts` must outlive the service.
  VerifierService(const VerificationParts& parts, const Authorizer& authorizer)
      : parts_(parts), authorizer_(authorizer) {}

  grpc::ServerUnaryReactor* Appraise(grpc::CallbackServerContext* context,
                                     const v1::AppraiseRequest* request,
                                     v1::AppraiseResponse* response) override;
  grpc::ServerUnaryReactor* GetVerificationKeys(
      grpc::CallbackServerContext* context,
      const v1::GetVerificationKeysRequest* request,
      v1::GetVerificationKeysResponse* response) override;
  grpc::ServerUnaryReactor* ListResultKeys(
      grpc::CallbackServerContext* context,
      const v1::ListResultKeysRequest* request,
      v1::ListResultKeysResponse* response) override;
  grpc::ServerUnaryReactor* RotateResultKeys(
      grpc::CallbackServerContext* context,
      const v1::RotateResultKeysRequest* request,
      v1::RotateResultKeysResponse* response) override;
  grpc::ServerUnaryReactor* RequestAttestation(
      grpc::CallbackServerContext* context,
      const v1::RequestAttestationRequest* request,
      v1::AppraiseResponse* response) override;
  grpc::ServerUnaryReactor* ListDecisions(
      grpc::CallbackServerContext* context,
      const v1::ListDecisionsRequest* request,
      v1::ListDecisionsResponse* response) override;
  grpc::ServerUnaryReactor* GetDecision(
      grpc::CallbackServerContext* context,
      const v1::GetDecisionRequest* request,
      v1::GetDecisionResponse* response) override;
  grpc::ServerUnaryReactor* PutReference(
      grpc::CallbackServerContext* context,
      const v1::PutReferenceRequest* request,
      v1::PutReferenceResponse* response) override;
  grpc::ServerUnaryReactor* PutBreakGlass(
      grpc::CallbackServerContext* context,
      const v1::PutBreakGlassRequest* request,
      v1::PutBreakGlassResponse* response) override;
  grpc::ServerUnaryReactor* ListReferences(
      grpc::CallbackServerContext* context,
      const v1::ListReferencesRequest* request,
      v1::ListReferencesResponse* response) override;
  grpc::ServerUnaryReactor* GetReference(
      grpc::CallbackServerContext* context,
      const v1::GetReferenceRequest* request,
      v1::GetReferenceResponse* response) override;
  grpc::ServerUnaryReactor* LearnReference(
      grpc::CallbackServerContext* context,
      const v1::LearnReferenceRequest* request,
      v1::LearnReferenceResponse* response) override;
  grpc::ServerUnaryReactor* Simulate(grpc::CallbackServerContext* context,
                                     const v1::SimulateRequest* request,
                                     v1::SimulateResponse* response) override;
  grpc::ServerUnaryReactor* GetHostPolicy(
      grpc::CallbackServerContext* context,
      const v1::GetHostPolicyRequest* request,
      v1::GetHostPolicyResponse* response) override;
  AlertReactor* WatchAlerts(grpc::CallbackServerContext* context,
                            const v1::WatchAlertsRequest* request) override;

 private:
  // `work` gets the caller's authority and its own copy of the request.
  template <class Request, class Response, class Work>
  grpc::ServerUnaryReactor* Run(const grpc::CallbackServerContext& context,
                                std::string_view method, const Request& request,
                                Response* response, Work work);
  absl::StatusOr<v1::AppraiseResponse> DoAppraise(
      const Authority& authority, const v1::AppraiseRequest& request);
  absl::StatusOr<v1::RotateResultKeysResponse> DoRotateResultKeys(
      const Authority& authority, const v1::RotateResultKeysRequest& request);
  absl::StatusOr<v1::ListDecisionsResponse> DoListDecisions(
      const Authority& authority, const v1::ListDecisionsRequest& request);
  absl::StatusOr<v1::GetDecisionResponse> DoGetDecision(
      const Authority& authority, const v1::GetDecisionRequest& request);
  absl::StatusOr<v1::SimulateResponse> DoSimulate(
      const Authority& authority, const v1::SimulateRequest& request,
      MonotonicTime deadline);
  absl::StatusOr<v1::GetHostPolicyResponse> DoGetHostPolicy(
      const Authority& authority, const v1::GetHostPolicyRequest& request);

  const VerificationParts parts_;
  const Authorizer& authorizer_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_VERIFIER_SERVICE_H_
