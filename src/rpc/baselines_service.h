#ifndef VMATTEST_RPC_BASELINES_SERVICE_H_
#define VMATTEST_RPC_BASELINES_SERVICE_H_

#include <optional>
#include <string>
#include <string_view>

#include "rpc/authorizer.h"
#include "rpc/run_on.h"
#include "rpc/verification_parts.h"
#include "vmattest/v1/baselines.grpc.pb.h"

namespace vmattest::rpc {

// vmattest.v1.Baselines for one listener. Handlers run on gRPC's threads and
// never block: authorise, hand over. Each caller sees the VMs of its grant
// only; a host, those that its own evidence is about.
class BaselinesService final : public v1::Baselines::CallbackService {
 public:
  // `authorizer` and everything in `parts` must outlive the service.
  BaselinesService(const VerificationParts& parts, const Authorizer& authorizer)
      : parts_(parts), authorizer_(authorizer) {}

  grpc::ServerUnaryReactor* PutBaseline(
      grpc::CallbackServerContext* context,
      const v1::PutBaselineRequest* request,
      v1::PutBaselineResponse* response) override;
  grpc::ServerUnaryReactor* ListBaselines(
      grpc::CallbackServerContext* context,
      const v1::ListBaselinesRequest* request,
      v1::ListBaselinesResponse* response) override;
  grpc::ServerUnaryReactor* GetBaseline(
      grpc::CallbackServerContext* context,
      const v1::GetBaselineRequest* request,
      v1::GetBaselineResponse* response) override;
  grpc::ServerUnaryReactor* BeginComparison(
      grpc::CallbackServerContext* context,
      const v1::BeginComparisonRequest* request,
      v1::BeginComparisonResponse* response) override;
  grpc::ServerUnaryReactor* ReadNodes(grpc::CallbackServerContext* context,
                                      const v1::ReadNodesRequest* request,
                                      v1::ReadNodesResponse* response) override;
  grpc::ServerUnaryReactor* ReadRecords(
      grpc::CallbackServerContext* context,
      const v1::ReadRecordsRequest* request,
      v1::ReadRecordsResponse* response) override;
  grpc::ServerUnaryReactor* FinishComparison(
      grpc::CallbackServerContext* context,
      const v1::FinishComparisonRequest* request,
      v1::SnapshotVerdict* response) override;

 private:
  // `work` gets the caller's authority and its own copy of the request.
  template <class Request, class Response, class Work>
  grpc::ServerUnaryReactor* Run(const grpc::CallbackServerContext& context,
                                std::string_view method, const Request& request,
                                Response* response, Work work);
  // Whose comparisons they are; of a host that is enrolled, its id, too.
  struct Caller {
    std::string name;
    std::optional<std::string> host_id;
  };
  absl::StatusOr<Caller> CallerOf(const Authority& authority);
  absl::StatusOr<v1::BeginComparisonResponse> DoBegin(
      const Authority& authority, const v1::BeginComparisonRequest& request);
  absl::StatusOr<v1::ReadNodesResponse> DoReadNodes(
      const Authority& authority, const v1::ReadNodesRequest& request);

  const VerificationParts parts_;
  const Authorizer& authorizer_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_BASELINES_SERVICE_H_
