#ifndef VMATTEST_RPC_CLIENT_GRPC_WITNESS_H_
#define VMATTEST_RPC_CLIENT_GRPC_WITNESS_H_

#include <memory>
#include <string>

#include "ledger/checkpointer.h"
#include "rpc/client/tls_channel.h"

namespace vmattest::rpc {

// Ledger.AddCheckpoint of another ledger node. A call takes at most a second:
// whoever is slower is asked again in the next round.
class GrpcWitness final : public ledger::WitnessClient {
 public:
  // Errors as TlsChannel.
  static absl::StatusOr<std::unique_ptr<ledger::WitnessClient>> Create(
      std::string name, const std::string& address, const ClientTls& tls);

  [[nodiscard]] const std::string& name() const override { return name_; }
  absl::StatusOr<tlog::WitnessReply> Add(
      const ledger::WitnessRequest& request) override;

 private:
  GrpcWitness(std::string name, std::shared_ptr<grpc::Channel> channel)
      : name_(std::move(name)), channel_(std::move(channel)) {}

  const std::string name_;
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CLIENT_GRPC_WITNESS_H_
