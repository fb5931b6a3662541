#ifndef VMATTEST_RPC_CLIENT_GRPC_STATE_VERIFIER_H_
#define VMATTEST_RPC_CLIENT_GRPC_STATE_VERIFIER_H_

#include <memory>

#include "capture/state_verifier.h"
#include "grpcpp/channel.h"

namespace vmattest::rpc {

// The service Baselines of a verifier, as a host needs it. `channel` as from
// TlsChannel, with the host's certificate. Any thread; blocks on the network.
// UNAVAILABLE: no answer by the deadline; else what the verifier answered.
class GrpcStateVerifier final : public capture::StateVerifier {
 public:
  explicit GrpcStateVerifier(std::shared_ptr<grpc::Channel> channel)
      : channel_(std::move(channel)) {}

  absl::StatusOr<std::unique_ptr<Comparison>> Begin(
      const Bytes& evidence, const Bytes& guest_report,
      MonotonicTime deadline) override;

 private:
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CLIENT_GRPC_STATE_VERIFIER_H_
