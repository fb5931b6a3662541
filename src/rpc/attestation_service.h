#ifndef VMATTEST_RPC_ATTESTATION_SERVICE_H_
#define VMATTEST_RPC_ATTESTATION_SERVICE_H_

#include <functional>
#include <string_view>
#include <vector>

#include "attestor/attestor.h"
#include "rpc/authorizer.h"
#include "rpc/conversions.h"
#include "rpc/event_log_stream.h"
#include "rpc/event_stream.h"
#include "rpc/run_on.h"
#include "vmattest/v1/attestation.grpc.pb.h"

namespace vmattest::rpc {

// vmattest.v1.Attestation for one listener. Handlers run on gRPC's threads and
// never block: authorise, check the request, hand over.
class AttestationService final : public v1::Attestation::CallbackService {
 public:
  struct Parts {
    attestor::Attestor& attestor;
    Executor& requests;
    EventStreamParts events;
    const Clock& clock;
    RequestDefaults defaults;
    // VMs beside libvirt; never blocks. Empty: nobody watches for them.
    std::function<std::vector<kvm::VmProcess>()> unmanaged;
  };
  // `authorizer` and everything in `parts` must outlive the service.
  AttestationService(const Parts& parts, const Authorizer& authorizer)
      : parts_(parts), authorizer_(authorizer) {}

  grpc::ServerUnaryReactor* ListVms(grpc::CallbackServerContext* context,
                                    const v1::ListVmsRequest* request,
                                    v1::ListVmsResponse* response) override;
  grpc::ServerUnaryReactor* GetVm(grpc::CallbackServerContext* context,
                                  const v1::GetVmRequest* request,
                                  v1::GetVmResponse* response) override;
  grpc::ServerUnaryReactor* MeasureConfig(
      grpc::CallbackServerContext* context,
      const v1::MeasureConfigRequest* request,
      v1::MeasureConfigResponse* response) override;
  grpc::ServerUnaryReactor* AttestConfig(
      grpc::CallbackServerContext* context,
      const v1::AttestConfigRequest* request,
      v1::AttestConfigResponse* response) override;
  grpc::ServerUnaryReactor* DiscloseLeaf(
      grpc::CallbackServerContext* context,
      const v1::DiscloseLeafRequest* request,
      v1::DiscloseLeafResponse* response) override;
  EventReactor* WatchEvents(grpc::CallbackServerContext* context,
                            const v1::WatchEventsRequest* request) override;
  grpc::ServerUnaryReactor* GetHostIdentity(
      grpc::CallbackServerContext* context,
      const v1::GetHostIdentityRequest* request,
      v1::GetHostIdentityResponse* response) override;

  EventLogReactor* GetEventLog(grpc::CallbackServerContext* context,
                               const v1::GetEventLogRequest* request) override;

 private:
  [[nodiscard]] absl::StatusOr<Authority> Authorize(
      const grpc::CallbackServerContext& context,
      std::string_view method) const;
  absl::StatusOr<v1::ListVmsResponse> DoListVms(const Authority& authority,
                                                const Page& page);
  absl::StatusOr<inventory::VmRecord> FindVm(const Authority& authority,
                                             const std::string& vm);
  template <class Result>
  using UseCase = void (attestor::Attestor::*)(
      attestor::ConfigRequest, std::function<void(absl::StatusOr<Result>)>);
  // What the three calls about a configuration have in common. Salted leaves
  // are for administrators only.
  template <class Request, class Response, class Result>
  grpc::ServerUnaryReactor* Ask(const grpc::CallbackServerContext& context,
                                std::string_view method, const Request& request,
                                Response* response, UseCase<Result> use_case);
  // Resolves the VM first where the caller may not ask about all.
  template <class Response>
  void WithVm(const Authority& authority, attestor::ConfigRequest request,
              std::shared_ptr<PendingCall<Response>> call,
              std::function<void(attestor::ConfigRequest)> then);

  const Parts parts_;
  const Authorizer& authorizer_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_ATTESTATION_SERVICE_H_
