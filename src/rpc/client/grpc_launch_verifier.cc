#include "rpc/client/grpc_launch_verifier.h"

#include "base/status.h"
#include "grpcpp/client_context.h"
#include "rpc/client/call_deadline.h"
#include "rpc/status/status_mapping.h"
#include "vmattest/v1/verifier.grpc.pb.h"

namespace vmattest::rpc {
namespace {

// Of the decision that waits: what is left to say that the verifier is away.
constexpr std::chrono::milliseconds kToAnswer{500};

absl::Status Answered(const grpc::Status& status) {
  const absl::Status answer = FromGrpc(status);
  return absl::IsDeadlineExceeded(answer)
             ? absl::UnavailableError("it does not answer in time")
             : answer;
}

}  // namespace

absl::StatusOr<std::string> GrpcLaunchVerifier::Appraise(
    const Request& request, MonotonicTime deadline) {
  const auto stub = v1::Verifier::NewStub(channel_);
  grpc::ClientContext context;
  context.set_deadline(CallDeadline(deadline - kToAnswer));
  v1::AppraiseRequest wire;
  wire.set_evidence(request.evidence.data(), request.evidence.size());
  wire.set_nonce(request.nonce.data(), request.nonce.size());
  wire.set_vm_uuid(request.vm_uuid);
  v1::AppraiseResponse response;
  RETURN_IF_ERROR(Answered(stub->Appraise(&context, wire, &response)));
  return response.ear();
}

absl::StatusOr<gate::LaunchVerifier::HostPolicy>
GrpcLaunchVerifier::GetHostPolicy(const std::vector<std::string>& vm_uuids,
                                  MonotonicTime deadline) {
  const auto stub = v1::Verifier::NewStub(channel_);
  grpc::ClientContext context;
  context.set_deadline(CallDeadline(deadline - kToAnswer));
  v1::GetHostPolicyRequest request;
  request.mutable_vm_uuids()->Assign(vm_uuids.begin(), vm_uuids.end());
  v1::GetHostPolicyResponse response;
  RETURN_IF_ERROR(Answered(stub->GetHostPolicy(&context, request, &response)));
  HostPolicy policy;
  for (const std::string& document : response.references()) {
    policy.references.push_back(ToBytes(document));
  }
  for (const std::string& document : response.break_glass()) {
    policy.break_glass.push_back(ToBytes(document));
  }
  policy.host_record = ToBytes(response.host_record());
  policy.revocation_epoch = response.revocation_epoch();
  policy.revoked = response.revoked();
  return policy;
}

}  // namespace vmattest::rpc
