#include "rpc/client/grpc_host_client.h"

#include "base/status.h"
#include "fmt/format.h"
#include "grpcpp/client_context.h"
#include "rpc/client/call_deadline.h"
#include "rpc/status/status_mapping.h"
#include "vmattest/v1/attestation.grpc.pb.h"

namespace vmattest::rpc {

absl::StatusOr<std::unique_ptr<GrpcHostClient>> GrpcHostClient::Create(
    const std::map<std::string, std::string>& addresses, const ClientTls& tls) {
  Channels channels;
  for (const auto& [host_id, address] : addresses) {
    ASSIGN_OR_RETURN(channels[host_id], TlsChannel(address, tls));
  }
  return std::unique_ptr<GrpcHostClient>(
      new GrpcHostClient(std::move(channels)));
}

std::vector<std::string> GrpcHostClient::hosts() const {
  std::vector<std::string> hosts;
  for (const auto& [host_id, channel] : channels_) {
    hosts.push_back(host_id);
  }
  return hosts;
}

absl::StatusOr<Bytes> GrpcHostClient::Attest(const std::string& host_id,
                                             const std::string& vm_uuid,
                                             const Bytes& nonce,
                                             MonotonicTime deadline) {
  const auto it = channels_.find(host_id);
  if (it == channels_.end()) {
    return absl::NotFoundError(
        fmt::format("no address of host {} is configured", host_id));
  }
  const auto stub = v1::Attestation::NewStub(it->second);
  grpc::ClientContext context;
  context.set_deadline(CallDeadline(deadline));
  v1::AttestConfigRequest request;
  request.set_vm(vm_uuid);
  request.set_nonce(nonce.data(), nonce.size());
  v1::AttestConfigResponse response;
  RETURN_IF_ERROR_WITH(
      FromGrpc(stub->AttestConfig(&context, request, &response)),
      fmt::format("host {}", host_id));
  return ToBytes(response.evidence());
}

}  // namespace vmattest::rpc
