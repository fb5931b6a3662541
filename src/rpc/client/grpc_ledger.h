#ifndef VMATTEST_RPC_CLIENT_GRPC_LEDGER_H_
#define VMATTEST_RPC_CLIENT_GRPC_LEDGER_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/channel.h"
#include "ledger/checkpoint_follower.h"
#include "outbox/ledger_port.h"
#include "rpc/client/tls_channel.h"
#include "vmattest/v1/ledger.pb.h"

namespace vmattest::rpc {

// The ledger over its nodes: one that does not answer, or does not lead, is
// left for the next one at the next call. Callable from any thread.
class GrpcLedger final : public outbox::LedgerPort {
 public:
  // Errors as TlsChannel. At least one address. With a `follower` what is
  // witnessed is what that believes, else the node's word.
  static absl::StatusOr<std::unique_ptr<GrpcLedger>> Create(
      const std::vector<std::string>& addresses, const ClientTls& tls,
      std::unique_ptr<ledger::CheckpointFollower> follower = nullptr);

  absl::StatusOr<Answer> Submit(const Bytes& entry,
                                MonotonicTime deadline) override;
  absl::StatusOr<Writer> GetWriter(const std::string& writer,
                                   MonotonicTime deadline) override;
  absl::StatusOr<Vm> GetVm(const Uuid& vm, MonotonicTime deadline) override;
  absl::StatusOr<Size> GetSize(MonotonicTime deadline) override;

  // As the node answers it, proof included; its errors keep their reasons.
  absl::StatusOr<v1::GetTrustResponse> GetTrust(const std::string& vm_uuid,
                                                MonotonicTime deadline);

 private:
  GrpcLedger(std::vector<std::shared_ptr<grpc::Channel>> channels,
             std::unique_ptr<ledger::CheckpointFollower> follower)
      : channels_(std::move(channels)), follower_(std::move(follower)) {}
  template <class Request, class Response, class Method>
  absl::Status Call(Method method, const Request& request, Response& response,
                    MonotonicTime deadline);

  const std::vector<std::shared_ptr<grpc::Channel>> channels_;
  const std::unique_ptr<ledger::CheckpointFollower> follower_;  // may be null
  std::atomic<size_t> next_ = 0;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CLIENT_GRPC_LEDGER_H_
