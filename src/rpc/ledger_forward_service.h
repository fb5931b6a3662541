#ifndef VMATTEST_RPC_LEDGER_FORWARD_SERVICE_H_
#define VMATTEST_RPC_LEDGER_FORWARD_SERVICE_H_

#include <functional>

#include "base/executor.h"
#include "base/uuid.h"
#include "ledger/checkpointer.h"
#include "rpc/authorizer.h"
#include "rpc/server.h"
#include "vmattest/v1/ledger.grpc.pb.h"

namespace vmattest::rpc {

// Ledger on a host that keeps no ledger. GetTrust is handed on to one that
// does, for VMs of this host alone: whoever asks can check the newest entry by
// its proof; the score is the node's word. AddCheckpoint is the host's own, as
// a witness. The other methods are UNIMPLEMENTED.
class LedgerForwardService final : public v1::Ledger::CallbackService {
 public:
  // All of it outlives the services.
  struct Parts {
    Executor& requests;
    std::function<absl::StatusOr<v1::GetTrustResponse>(const Uuid& vm)> get;
    std::function<bool(const Uuid& vm)> is_local;
    // Null: the host is no witness, FAILED_PRECONDITION (NOT_A_WITNESS).
    std::function<absl::StatusOr<tlog::WitnessReply>(
        const ledger::WitnessRequest& request)>
        add_checkpoint;
  };
  static ServiceMaker Services(const Parts& parts);

  LedgerForwardService(const Parts& parts, const Authorizer& authorizer)
      : parts_(parts), authorizer_(authorizer) {}
  grpc::ServerUnaryReactor* GetTrust(grpc::CallbackServerContext* context,
                                     const v1::GetTrustRequest* request,
                                     v1::GetTrustResponse* response) override;
  grpc::ServerUnaryReactor* AddCheckpoint(
      grpc::CallbackServerContext* context,
      const v1::AddCheckpointRequest* request,
      v1::AddCheckpointResponse* response) override;

 private:
  const Parts parts_;
  const Authorizer& authorizer_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_LEDGER_FORWARD_SERVICE_H_
