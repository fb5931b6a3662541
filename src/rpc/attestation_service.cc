#include "rpc/attestation_service.h"

#include <type_traits>
#include <utility>

#include "fmt/format.h"
#include "rpc/call_context.h"
#include "rpc/pumped_stream.h"
#include "wire/codec.h"

namespace vmattest::rpc {
namespace {

// A caller with few VMs on a host with many: the scan for one page is bounded.
constexpr int kMaxScans = 64;

absl::StatusOr<v1::GetHostIdentityResponse> ToResponse(
    const absl::StatusOr<evidence::HostIdentity>& identity) {
  RETURN_IF_ERROR(identity.status());
  v1::GetHostIdentityResponse response;
  const Bytes bytes = wire::EncodeHostIdentity(*identity);
  if (!response.mutable_identity()->ParseFromArray(
          bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InternalError("host identity does not parse");
  }
  return response;
}

template <class Response>
Response ToResponse(const measurement::DomainMeasurement& measurement) {
  return ToWire(measurement);
}

template <class Response>
Response ToResponse(const Bytes& file) {
  Response response;
  if constexpr (std::is_same_v<Response, v1::AttestConfigResponse>) {
    response.set_evidence(file.data(), file.size());
  } else {
    response.set_disclosure(file.data(), file.size());
  }
  return response;
}

}  // namespace

absl::StatusOr<Authority> AttestationService::Authorize(
    const grpc::CallbackServerContext& context, std::string_view method) const {
  return authorizer_.Authorize(
      fmt::format("vmattest.v1.Attestation/{}", method),
      IdentitiesOf(*context.auth_context()));
}

grpc::ServerUnaryReactor* AttestationService::ListVms(
    grpc::CallbackServerContext* context, const v1::ListVmsRequest* request,
    v1::ListVmsResponse* response) {
  absl::StatusOr<Authority> authority = Authorize(*context, "ListVms");
  if (!authority.ok()) {
    return AnswerNow(response,
                     absl::StatusOr<v1::ListVmsResponse>(authority.status()));
  }
  const absl::StatusOr<Page> page = FromWire(*request);
  if (!page.ok()) {
    return AnswerNow(response,
                     absl::StatusOr<v1::ListVmsResponse>(page.status()));
  }
  return RunOn(parts_.requests, response,
               [this, authority = *std::move(authority), page = *page] {
                 return DoListVms(authority, page);
               });
}

absl::StatusOr<v1::ListVmsResponse> AttestationService::DoListVms(
    const Authority& authority, const Page& page) {
  v1::ListVmsResponse response;
  std::optional<Uuid> after = page.after;
  for (int scan = 0; scan < kMaxScans; ++scan) {
    ASSIGN_OR_RETURN(const std::vector<inventory::VmRecord> vms,
                     parts_.attestor.ListVms(after, page.size));
    for (const inventory::VmRecord& vm : vms) {
      if (static_cast<size_t>(response.vms_size()) == page.size) {
        response.set_next_page_token(ToString(*after));
        return response;
      }
      after = vm.uuid;
      if (authority.AllowsVm(vm.uuid)) {
        *response.add_vms() = ToWire(vm);
      }
    }
    if (vms.size() < page.size) {
      // Who runs them is not to be known by a tenant.
      if (parts_.unmanaged && authority.allows_all_vms()) {
        for (const kvm::VmProcess& process : parts_.unmanaged()) {
          *response.add_unmanaged() = ToWire(process);
        }
      }
      return response;
    }
  }
  response.set_next_page_token(ToString(*after));
  return response;
}

grpc::ServerUnaryReactor* AttestationService::GetVm(
    grpc::CallbackServerContext* context, const v1::GetVmRequest* request,
    v1::GetVmResponse* response) {
  using Result = absl::StatusOr<v1::GetVmResponse>;
  absl::StatusOr<Authority> authority = Authorize(*context, "GetVm");
  if (!authority.ok()) {
    return AnswerNow(response, Result(authority.status()));
  }
  if (const absl::Status checked = CheckVm(request->vm()); !checked.ok()) {
    return AnswerNow(response, Result(checked));
  }
  return RunOn(parts_.requests, response,
               [this, authority = *std::move(authority),
                vm = request->vm()]() -> Result {
                 ASSIGN_OR_RETURN(const inventory::VmRecord record,
                                  FindVm(authority, vm));
                 v1::GetVmResponse found;
                 *found.mutable_vm() = ToWire(record);
                 return found;
               });
}

absl::StatusOr<inventory::VmRecord> AttestationService::FindVm(
    const Authority& authority, const std::string& vm) {
  absl::StatusOr<inventory::VmRecord> record = parts_.attestor.GetVm(vm);
  if (authority.allows_all_vms()) {
    return record.ok() ? record
                       : WithReason(record.status(),
                                    {absl::IsNotFound(record.status())
                                         ? "VM_NOT_FOUND"
                                         : ReasonOf(record.status()).reason,
                                     {{"vm", vm}}});
  }
  const bool unknown =
      !record.ok() && (absl::IsNotFound(record.status()) ||
                       absl::IsInvalidArgument(record.status()));
  if (unknown || (record.ok() && !authority.AllowsVm(record->uuid))) {
    return VmDenied(vm);
  }
  return record;
}

template <class Response>
void AttestationService::WithVm(
    const Authority& authority, attestor::ConfigRequest request,
    std::shared_ptr<PendingCall<Response>> call,
    std::function<void(attestor::ConfigRequest)> then) {
  if (authority.allows_all_vms()) {
    then(std::move(request));
    return;
  }
  const absl::Status queued =
      parts_.requests.Submit([this, authority, request = std::move(request),
                              call, then = std::move(then)]() mutable {
        const auto vm = FindVm(authority, request.vm);
        if (!vm.ok()) {
          call->Finish(vm.status());
          return;
        }
        // The name may change hands meanwhile; the UUID was allowed.
        request.vm = ToString(vm->uuid);
        then(std::move(request));
      });
  if (!queued.ok()) {
    call->Finish(queued);
  }
}

template <class Request, class Response, class Result>
grpc::ServerUnaryReactor* AttestationService::Ask(
    const grpc::CallbackServerContext& context, std::string_view method,
    const Request& request, Response* response, UseCase<Result> use_case) {
  auto [started, reactor] = PendingCall<Response>::Start(response);
  const auto call = started;
  const auto authority = Authorize(context, method);
  auto config = FromWire(request, parts_.defaults);
  if (!authority.ok() || !config.ok()) {
    call->Finish(authority.ok() ? config.status() : authority.status());
    return reactor;
  }
  if (!authority->is_admin()) {
    config->omit_leaves = true;
  }
  config->deadline = DeadlineOf(context, parts_.clock);
  config->cancelled = [call] { return call->cancelled(); };
  WithVm(*authority, *std::move(config), call,
         [this, call, use_case](attestor::ConfigRequest resolved) {
           (parts_.attestor.*use_case)(
               std::move(resolved), [call](absl::StatusOr<Result> result) {
                 if (result.ok()) {
                   call->Finish(ToResponse<Response>(*result));
                 } else {
                   call->Finish(result.status());
                 }
               });
         });
  return reactor;
}

grpc::ServerUnaryReactor* AttestationService::MeasureConfig(
    grpc::CallbackServerContext* context,
    const v1::MeasureConfigRequest* request,
    v1::MeasureConfigResponse* response) {
  return Ask(*context, "MeasureConfig", *request, response,
             &attestor::Attestor::MeasureConfig);
}

grpc::ServerUnaryReactor* AttestationService::AttestConfig(
    grpc::CallbackServerContext* context,
    const v1::AttestConfigRequest* request,
    v1::AttestConfigResponse* response) {
  return Ask(*context, "AttestConfig", *request, response,
             &attestor::Attestor::AttestConfig);
}

grpc::ServerUnaryReactor* AttestationService::DiscloseLeaf(
    grpc::CallbackServerContext* context,
    const v1::DiscloseLeafRequest* request,
    v1::DiscloseLeafResponse* response) {
  return Ask(*context, "DiscloseLeaf", *request, response,
             &attestor::Attestor::Disclose);
}

EventReactor* AttestationService::WatchEvents(
    grpc::CallbackServerContext* context,
    const v1::WatchEventsRequest* request) {
  absl::StatusOr<Authority> authority = Authorize(*context, "WatchEvents");
  if (!authority.ok()) {
    return RefuseStream<v1::WatchEventsResponse>(authority.status());
  }
  if (!request->vm().empty()) {
    if (const absl::Status checked = CheckVm(request->vm()); !checked.ok()) {
      return RefuseStream<v1::WatchEventsResponse>(checked);
    }
  }
  return StartEventStream(parts_.events, *request, *std::move(authority));
}

grpc::ServerUnaryReactor* AttestationService::GetHostIdentity(
    grpc::CallbackServerContext* context, const v1::GetHostIdentityRequest*,
    v1::GetHostIdentityResponse* response) {
  const auto authority = Authorize(*context, "GetHostIdentity");
  if (!authority.ok()) {
    return AnswerNow(response, absl::StatusOr<v1::GetHostIdentityResponse>(
                                   authority.status()));
  }
  return RunOn(parts_.requests, response,
               [this] { return ToResponse(parts_.attestor.HostIdentity()); });
}

EventLogReactor* AttestationService::GetEventLog(
    grpc::CallbackServerContext* context,
    const v1::GetEventLogRequest* request) {
  const auto authority = Authorize(*context, "GetEventLog");
  if (!authority.ok()) {
    return RefuseStream<v1::GetEventLogResponse>(authority.status());
  }
  // It names every VM of the host.
  if (!authority->allows_all_vms()) {
    return RefuseStream<v1::GetEventLogResponse>(
        absl::PermissionDeniedError("the event log is about every VM"));
  }
  absl::StatusOr<Bytes> nonce = Nonce(request->nonce());
  if (!nonce.ok()) {
    return RefuseStream<v1::GetEventLogResponse>(nonce.status());
  }
  return StreamEventLog([this, nonce = *std::move(nonce),
                         deadline = DeadlineOf(*context, parts_.clock)](
                            attestor::HostLogDone done) {
    parts_.attestor.HostLog(nonce, deadline, std::move(done));
  });
}

}  // namespace vmattest::rpc
