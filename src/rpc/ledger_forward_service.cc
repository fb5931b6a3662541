#include "rpc/ledger_forward_service.h"

#include <memory>

#include "rpc/ledger_conversions.h"
#include "rpc/run_authorized.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {

ServiceMaker LedgerForwardService::Services(const Parts& parts) {
  return [parts](const Authorizer& authorizer) {
    std::vector<ServedService> services;
    services.push_back(
        {.name = "vmattest.v1.Ledger",
         .service = std::make_unique<LedgerForwardService>(parts, authorizer),
         .needs = {"ledger"}});
    return services;
  };
}

grpc::ServerUnaryReactor* LedgerForwardService::GetTrust(
    grpc::CallbackServerContext* context, const v1::GetTrustRequest* request,
    v1::GetTrustResponse* response) {
  return RunAuthorized(
      authorizer_, "vmattest.v1.Ledger/GetTrust", *context, parts_.requests,
      *request, response,
      [this](const Authority& authority, const v1::GetTrustRequest& wanted)
          -> absl::StatusOr<v1::GetTrustResponse> {
        ASSIGN_OR_RETURN(const Uuid vm,
                         LedgerVmOf(authority, wanted.vm_uuid()));
        if (!parts_.is_local(vm)) {
          return TrustReason(absl::NotFoundError("no VM of this host"));
        }
        return parts_.get(vm);
      });
}

grpc::ServerUnaryReactor* LedgerForwardService::AddCheckpoint(
    grpc::CallbackServerContext* context,
    const v1::AddCheckpointRequest* request,
    v1::AddCheckpointResponse* response) {
  return RunAuthorized(
      authorizer_, "vmattest.v1.Ledger/AddCheckpoint", *context,
      parts_.requests, *request, response,
      [this](const Authority&, const v1::AddCheckpointRequest& wanted)
          -> absl::StatusOr<v1::AddCheckpointResponse> {
        if (!parts_.add_checkpoint) {
          return WithReason(
              absl::FailedPreconditionError(
                  "this host is no witness: it has no ledger.policy, or that "
                  "names no log"),
              {"NOT_A_WITNESS", {}});
        }
        ASSIGN_OR_RETURN(const tlog::WitnessReply reply,
                         parts_.add_checkpoint(FromWire(wanted)));
        return ToWire(reply);
      });
}

}  // namespace vmattest::rpc
