#include "rpc/admin_service.h"

#include <utility>

#include "evidence/config_tree.h"
#include "fmt/format.h"
#include "rpc/call_context.h"
#include "rpc/conversions.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {
namespace {

v1::GetStatusResponse ToWire(const DaemonStatus& status) {
  v1::GetStatusResponse wire;
  wire.set_version(status.version);
  wire.set_started_unix_ms(status.started_unix_ms);
  for (const ComponentState& state : status.components) {
    v1::ComponentStatus* component = wire.add_components();
    component->set_name(state.name);
    component->set_serving(state.serving);
    component->set_detail(state.detail);
    component->set_since_unix_ms(state.since_unix_ms);
  }
  wire.set_vms(status.vms);
  wire.set_pending_seals(status.pending_seals);
  wire.set_quotes_made(status.quotes_made);
  wire.set_envelopes_sealed(status.envelopes_sealed);
  wire.set_digest_cache_entries(status.digest_cache_entries);
  wire.set_digest_cache_hits(status.digest_cache_hits);
  wire.set_digest_cache_misses(status.digest_cache_misses);
  wire.set_unmanaged_vms(status.unmanaged_vms);
  wire.set_event_log_records(status.event_log_records);
  return wire;
}

}  // namespace

AdminService::AdminService(AdminActions actions, Executor& requests,
                           const Authorizer& authorizer)
    : actions_(std::move(actions)),
      requests_(requests),
      authorizer_(authorizer) {}

absl::StatusOr<Authority> AdminService::Authorize(
    const grpc::CallbackServerContext& context, std::string_view method) const {
  return authorizer_.Authorize(fmt::format("vmattest.v1.Admin/{}", method),
                               IdentitiesOf(*context.auth_context()));
}

grpc::ServerUnaryReactor* AdminService::GetStatus(
    grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
    v1::GetStatusResponse* response) {
  return Run(*context, "GetStatus", response,
             [this]() -> absl::StatusOr<v1::GetStatusResponse> {
               ASSIGN_OR_RETURN(const DaemonStatus status, actions_.status());
               return ToWire(status);
             });
}

grpc::ServerUnaryReactor* AdminService::Reconcile(
    grpc::CallbackServerContext* context, const v1::ReconcileRequest*,
    v1::ReconcileResponse* response) {
  return Run(*context, "Reconcile", response,
             [this]() -> absl::StatusOr<v1::ReconcileResponse> {
               ASSIGN_OR_RETURN(const attestor::ReconcileResult result,
                                actions_.reconcile());
               v1::ReconcileResponse wire;
               wire.set_measured(result.measured);
               wire.set_failed(result.failed);
               return wire;
             });
}

grpc::ServerUnaryReactor* AdminService::FlushDigestCache(
    grpc::CallbackServerContext* context, const v1::FlushDigestCacheRequest*,
    v1::FlushDigestCacheResponse* response) {
  return Run(*context, "FlushDigestCache", response,
             [this]() -> absl::StatusOr<v1::FlushDigestCacheResponse> {
               v1::FlushDigestCacheResponse wire;
               wire.set_dropped(actions_.flush_digest_cache());
               return wire;
             });
}

grpc::ServerUnaryReactor* AdminService::SetLogLevel(
    grpc::CallbackServerContext* context, const v1::SetLogLevelRequest* request,
    v1::SetLogLevelResponse* response) {
  return Run(
      *context, "SetLogLevel", response,
      [this,
       level = request->level()]() -> absl::StatusOr<v1::SetLogLevelResponse> {
        const absl::Status set = actions_.set_log_level(level);
        if (!set.ok()) {
          return FieldError("level", "must be debug, info, warning or error");
        }
        return v1::SetLogLevelResponse();
      });
}

grpc::ServerUnaryReactor* AdminService::GetVmSalt(
    grpc::CallbackServerContext* context, const v1::GetVmSaltRequest* request,
    v1::GetVmSaltResponse* response) {
  return Run(
      *context, "GetVmSalt", response,
      [this, vm = request->vm()]() -> absl::StatusOr<v1::GetVmSaltResponse> {
        RETURN_IF_ERROR(CheckVm(vm));
        ASSIGN_OR_RETURN(const SecretBytes salt, actions_.vm_salt(vm));
        v1::GetVmSaltResponse wire;
        const ByteView bytes = salt.Reveal(SecretAccess());
        wire.set_salt(bytes.data(), bytes.size());
        wire.set_salt_id(evidence::SaltId(salt));
        return wire;
      });
}

grpc::ServerUnaryReactor* AdminService::StartVm(
    grpc::CallbackServerContext* context, const v1::StartVmRequest* request,
    v1::StartVmResponse* response) {
  return Run(
      *context, "StartVm", response,
      [this, vm = request->vm(),
       keep = request->keep_paused()]() -> absl::StatusOr<v1::StartVmResponse> {
        RETURN_IF_ERROR(CheckVm(vm));
        ASSIGN_OR_RETURN(const VmStart start, actions_.start_vm(vm, keep));
        v1::StartVmResponse wire;
        wire.set_state(start.state);
        wire.set_code(start.code);
        wire.set_sentence(start.sentence);
        wire.set_vm_uuid(start.vm_uuid);
        return wire;
      });
}

}  // namespace vmattest::rpc
