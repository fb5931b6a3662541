#include "cli/attestation_client.h"

#include "eventlog/bundle.h"
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

absl::StatusOr<v1::ListVmsResponse> AttestationClient::ListVms() {
  v1::ListVmsResponse all;
  v1::ListVmsRequest request;
  do {
    ASSIGN_OR_RETURN(const v1::ListVmsResponse page,
                     Call(*attestation_, &v1::Attestation::Stub::ListVms,
                          request, timeout_, kQuick));
    all.MergeFrom(page);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  all.clear_next_page_token();
  return all;
}

absl::StatusOr<v1::DiscloseLeafResponse> AttestationClient::DiscloseLeaf(
    const v1::DiscloseLeafRequest& request) {
  return Call(*attestation_, &v1::Attestation::Stub::DiscloseLeaf, request,
              timeout_, kSlow);
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

absl::StatusOr<v1::GetSealStatusResponse> AttestationClient::GetSealStatus() {
  return Call(*admin_, &v1::Admin::Stub::GetSealStatus,
              v1::GetSealStatusRequest(), timeout_, kQuick);
}

absl::StatusOr<v1::ApproveBootResponse> AttestationClient::ApproveBoot(
    const v1::ApproveBootRequest& request) {
  return Call(*admin_, &v1::Admin::Stub::ApproveBoot, request, timeout_,
              kQuick);
}

absl::StatusOr<v1::StartVmResponse> AttestationClient::StartVm(
    const v1::StartVmRequest& request) {
  return Call(*admin_, &v1::Admin::Stub::StartVm, request, timeout_, kSlow);
}

absl::StatusOr<v1::ListKeysResponse> AttestationClient::ListKeys() {
  return Call(*admin_, &v1::Admin::Stub::ListKeys, v1::ListKeysRequest(),
              timeout_, kQuick);
}

absl::StatusOr<v1::RotateKeyResponse> AttestationClient::RotateKey(
    v1::KeyPurpose purpose) {
  v1::RotateKeyRequest request;
  request.set_purpose(purpose);
  return Call(*admin_, &v1::Admin::Stub::RotateKey, request, timeout_, kSlow);
}

absl::Status AttestationClient::RevokeKey(v1::KeyPurpose purpose,
                                          uint32_t epoch) {
  v1::RevokeKeyRequest request;
  request.set_purpose(purpose);
  request.set_epoch(epoch);
  return Call(*admin_, &v1::Admin::Stub::RevokeKey, request, timeout_, kSlow)
      .status();
}

absl::StatusOr<v1::ReEnrollResponse> AttestationClient::ReEnroll(
    const std::string& host_id) {
  v1::ReEnrollRequest request;
  request.set_host_id(host_id);
  return Call(*admin_, &v1::Admin::Stub::ReEnroll, request, timeout_, kSlow);
}

absl::StatusOr<v1::GetEventLogResponse> AttestationClient::GetEventLog(
    const v1::GetEventLogRequest& request) {
  grpc::ClientContext context;
  SetDeadline(context, timeout_, kSlow);
  const auto reader = attestation_->GetEventLog(&context, request);
  v1::GetEventLogResponse whole;
  v1::GetEventLogResponse piece;
  while (reader->Read(&piece)) {
    whole.mutable_evidence()->append(piece.evidence());
    whole.mutable_boot_log()->append(piece.boot_log());
    whole.mutable_records()->append(piece.records());
    if (whole.ByteSizeLong() > eventlog::kMaxBundleSize) {
      context.TryCancel();
      (void)reader->Finish();
      return absl::ResourceExhaustedError("the event log is too large");
    }
  }
  RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
  return whole;
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
