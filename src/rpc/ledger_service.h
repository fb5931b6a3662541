#ifndef VMATTEST_RPC_LEDGER_SERVICE_H_
#define VMATTEST_RPC_LEDGER_SERVICE_H_

#include <string_view>

#include "base/executor.h"
#include "ledger/node.h"
#include "rpc/authorizer.h"
#include "rpc/run_on.h"
#include "rpc/server.h"
#include "vmattest/v1/ledger.grpc.pb.h"

namespace vmattest::rpc {

// What Ledger is made of; all of it outlives the services.
struct LedgerParts {
  ledger::LedgerNode& node;
  Executor& requests;  // blocking work
  Executor& watch;     // one thread: everything of streams
  bool on_read_socket = false;
};

// Ledger, for a daemon's listeners. On a read socket only where that is said.
ServiceMaker LedgerServices(const LedgerParts& parts);

// vmattest.v1.Ledger for one listener. Handlers run on gRPC's threads and
// never block: authorise, hand over. A customer sees its VMs only.
class LedgerService final : public v1::Ledger::CallbackService {
 public:
  LedgerService(const LedgerParts& parts, const Authorizer& authorizer)
      : parts_(parts), authorizer_(authorizer) {}

  grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext* context,
                                   const v1::SubmitRequest* request,
                                   v1::SubmitResponse* response) override;
  grpc::ServerUnaryReactor* GetWriter(grpc::CallbackServerContext* context,
                                      const v1::GetWriterRequest* request,
                                      v1::GetWriterResponse* response) override;
  grpc::ServerUnaryReactor* GetTrust(grpc::CallbackServerContext* context,
                                     const v1::GetTrustRequest* request,
                                     v1::GetTrustResponse* response) override;
  grpc::ServerUnaryReactor* ListHistory(
      grpc::CallbackServerContext* context,
      const v1::ListHistoryRequest* request,
      v1::ListHistoryResponse* response) override;
  grpc::ServerUnaryReactor* GetCheckpoint(
      grpc::CallbackServerContext* context,
      const v1::GetCheckpointRequest* request,
      v1::GetCheckpointResponse* response) override;
  grpc::ServerUnaryReactor* GetInclusionProof(
      grpc::CallbackServerContext* context,
      const v1::GetInclusionProofRequest* request,
      v1::GetInclusionProofResponse* response) override;
  grpc::ServerUnaryReactor* GetConsistencyProof(
      grpc::CallbackServerContext* context,
      const v1::GetConsistencyProofRequest* request,
      v1::GetConsistencyProofResponse* response) override;
  grpc::ServerUnaryReactor* ListRecords(
      grpc::CallbackServerContext* context,
      const v1::ListRecordsRequest* request,
      v1::ListRecordsResponse* response) override;
  grpc::ServerUnaryReactor* AddCheckpoint(
      grpc::CallbackServerContext* context,
      const v1::AddCheckpointRequest* request,
      v1::AddCheckpointResponse* response) override;
  grpc::ServerWriteReactor<v1::GetTrustResponse>* WatchVm(
      grpc::CallbackServerContext* context,
      const v1::WatchVmRequest* request) override;
  grpc::ServerWriteReactor<v1::WatchAllResponse>* WatchAll(
      grpc::CallbackServerContext* context,
      const v1::WatchAllRequest* request) override;

 private:
  template <class Request, class Response, class Work>
  grpc::ServerUnaryReactor* Run(const grpc::CallbackServerContext& context,
                                std::string_view method, const Request& request,
                                Response* response, Work work);

  const LedgerParts parts_;
  const Authorizer& authorizer_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_LEDGER_SERVICE_H_
