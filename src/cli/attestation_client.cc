#include "cli/attestation_client.h"

#include "rpc/status/status_mapping.h"

namespace vmattest::cli {
namespace {

constexpr std::chrono::seconds kQuick{30};
constexpr std::chrono::seconds kSlow{600};
constexpr std::chrono::hours kWatching{24 * 365};

void SetDeadline(grpc::ClientContext& context, std::chrono::seconds timeout,
                 std::chrono::seconds otherwise) {
  context.set_deadline(std::chrono::system_clock::now() +
                       (timeout.count() > 0 ? timeout : otherwise));
}

template <class Stub, class Request, class Response>
absl::StatusOr<Response> Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                           const Request&,
                                                           Response*),
                              const Request& request,
                              std::chrono::seconds timeout,
                              std::chrono::seconds otherwise) {
  grpc::ClientContext context;
  SetDeadline(context, timeout, otherwise);
  Response response;
  RETURN_IF_ERROR(rpc::FromGrpc((stub.*method)(&context, request, &response)));
  return response;
}

}  // namespace

AttestationClient::AttestationClient(std::shared_ptr<grpc::Channel> channel,
                                     std::chrono::seconds timeout)
    : timeout_(timeout),
      attestation_(v1::Attestation::NewStub(channel)),
      admin_(v1::Admin::NewStub(channel)) {}

absl::StatusOr<v1::GetVmResponse> AttestationClient::GetVm(
    const std::string& vm) {
  v1::GetVmRequest request;
  request.set_vm(vm);
  return Call(*attestation_, &v1::Attestation::Stub::GetVm, request, timeout_,
              kQuick);
}

absl::StatusOr<std::vector<v1::Vm>> AttestationClient::ListVms() {
  std::vector<v1::Vm> vms;
  v1::ListVmsRequest request;
  do {
    ASSIGN_OR_RETURN(const v1::ListVmsResponse page,
                     Call(*attestation_, &v1::Attestation::Stub::ListVms,
                          request, timeout_, kQuick));
    vms.insert(vms.end(), page.vms().begin(), page.vms().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return vms;
}

absl::StatusOr<v1::MeasureConfigResponse> AttestationClient::MeasureConfig(
    const v1::MeasureConfigRequest& request) {
  return Call(*attestation_, &v1::Attestation::Stub::MeasureConfig, request,
              timeout_, kSlow);
}

absl::StatusOr<v1::AttestConfigResponse> AttestationClient::AttestConfig(
    const v1::AttestConfigRequest& request) {
  return Call(*attestation_, &v1::Attestation::Stub::AttestConfig, request,
              timeout_, kSlow);
}

absl::StatusOr<v1::HostIdentity> AttestationClient::GetHostIdentity() {
  ASSIGN_OR_RETURN(const v1::GetHostIdentityResponse response,
                   Call(*attestation_, &v1::Attestation::Stub::GetHostIdentity,
                        v1::GetHostIdentityRequest(), timeout_, kQuick));
  return response.identity();
}

absl::StatusOr<v1::GetStatusResponse> AttestationClient::GetStatus() {
  return Call(*admin_, &v1::Admin::Stub::GetStatus, v1::GetStatusRequest(),
              timeout_, kQuick);
}

absl::Status AttestationClient::WatchEvents(
    const v1::WatchEventsRequest& request,
    const std::function<bool(const v1::WatchEventsResponse&)>& on_event) {
  grpc::ClientContext context;
  SetDeadline(context, timeout_, kWatching);
  const auto reader = attestation_->WatchEvents(&context, request);
  v1::WatchEventsResponse event;
  while (reader->Read(&event)) {
    if (!on_event(event)) {
      context.TryCancel();
      (void)reader->Finish();
      return absl::OkStatus();
    }
  }
  return rpc::FromGrpc(reader->Finish());
}

}  // namespace vmattest::cli
