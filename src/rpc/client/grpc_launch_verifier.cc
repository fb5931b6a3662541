#include "rpc/client/grpc_launch_verifier.h"

#include "base/status.h"
#include "grpcpp/client_context.h"
#include "rpc/client/call_deadline.h"
#include "rpc/status/status_mapping.h"
#include "vmattest/v1/verifier.grpc.pb.h"

namespace vmattest::rpc {

absl::StatusOr<std::string> GrpcLaunchVerifier::Appraise(
    const Request& request, MonotonicTime deadline) {
  const auto stub = v1::Verifier::NewStub(channel_);
  grpc::ClientContext context;
  context.set_deadline(CallDeadline(deadline));
  v1::AppraiseRequest wire;
  wire.set_evidence(request.evidence.data(), request.evidence.size());
  wire.set_nonce(request.nonce.data(), request.nonce.size());
  wire.set_vm_uuid(request.vm_uuid);
  v1::AppraiseResponse response;
  RETURN_IF_ERROR(FromGrpc(stub->Appraise(&context, wire, &response)));
  return response.ear();
}

absl::StatusOr<gate::LaunchVerifier::HostPolicy>
GrpcLaunchVerifier::GetHostPolicy(MonotonicTime deadline) {
  const auto stub = v1::Verifier::NewStub(channel_);
  grpc::ClientContext context;
  context.set_deadline(CallDeadline(deadline));
  v1::GetHostPolicyResponse response;
  RETURN_IF_ERROR(FromGrpc(
      stub->GetHostPolicy(&context, v1::GetHostPolicyRequest(), &response)));
  HostPolicy policy;
  for (const std::string& document : response.references()) {
    policy.references.push_back(ToBytes(document));
  }
  policy.host_record = ToBytes(response.host_record());
  policy.revocation_epoch = response.revocation_epoch();
  return policy;
}

}  // namespace vmattest::rpc
