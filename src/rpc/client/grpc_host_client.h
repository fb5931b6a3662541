#ifndef VMATTEST_RPC_CLIENT_GRPC_HOST_CLIENT_H_
#define VMATTEST_RPC_CLIENT_GRPC_HOST_CLIENT_H_

#include <map>
#include <memory>
#include <string>

#include "rpc/client/tls_channel.h"
#include "verification/host_client.h"

namespace vmattest::rpc {

// Attestation.AttestConfig of hosts whose addresses are configured.
class GrpcHostClient final : public verification::HostClient {
 public:
  // `addresses`: by host id. Errors as TlsChannel.
  static absl::StatusOr<std::unique_ptr<GrpcHostClient>> Create(
      const std::map<std::string, std::string>& addresses,
      const ClientTls& tls);

  [[nodiscard]] std::vector<std::string> hosts() const override;
  absl::StatusOr<Bytes> Attest(const std::string& host_id,
                               const std::string& vm_uuid, const Bytes& nonce,
                               MonotonicTime deadline) override;

 private:
  using Channels = std::map<std::string, std::shared_ptr<grpc::Channel>>;
  explicit GrpcHostClient(Channels channels) : channels_(std::move(channels)) {}

  const Channels channels_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CLIENT_GRPC_HOST_CLIENT_H_
