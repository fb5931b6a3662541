#ifndef VMATTEST_RPC_CLIENT_GRPC_LAUNCH_VERIFIER_H_
#define VMATTEST_RPC_CLIENT_GRPC_LAUNCH_VERIFIER_H_

#include <memory>
#include <string>
#include <vector>

#include "gate/launch_verifier.h"
#include "grpcpp/channel.h"

namespace vmattest::rpc {

// The verifier on another machine, as the gate needs it. `channel` as from
// TlsChannel, with the host's certificate. A verifier that does not answer in
// time is UNAVAILABLE: it was away, not the caller slow.
class GrpcLaunchVerifier final : public gate::LaunchVerifier {
 public:
  explicit GrpcLaunchVerifier(std::shared_ptr<grpc::Channel> channel)
      : channel_(std::move(channel)) {}

  absl::StatusOr<std::string> Appraise(const Request& request,
                                       MonotonicTime deadline) override;
  absl::StatusOr<HostPolicy> GetHostPolicy(
      const std::vector<std::string>& vm_uuids,
      MonotonicTime deadline) override;

 private:
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CLIENT_GRPC_LAUNCH_VERIFIER_H_
