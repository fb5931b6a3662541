#include "rpc/admin_service.h"

#include <utility>

#include "fmt/format.h"
#include "rpc/call_context.h"
#include "rpc/run_on.h"
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
  return wire;
}

}  // namespace

AdminService::AdminService(AdminActions actions, Executor& requests,
                           const Authorizer& authorizer)
    : actions_(std::move(actions)),
      requests_(requests),
      authorizer_(authorizer) {}

template <class Response, class Work>
grpc::ServerUnaryReactor* AdminService::Run(
    const grpc::CallbackServerContext& context, std::string_view method,
    Response* response, Work work) {
  const auto authority =
      authorizer_.Authorize(fmt::format("vmattest.v1.Admin/{}", method),
                            IdentitiesOf(*context.auth_context()));
  if (!authority.ok()) {
    return AnswerNow(response, absl::StatusOr<Response>(authority.status()));
  }
  return RunOn(requests_, response, std::move(work));
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

}  // namespace vmattest::rpc
