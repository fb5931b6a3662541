#include "rpc/enrollment_service.h"

#include <utility>

#include "fmt/format.h"
#include "rpc/call_context.h"
#include "rpc/run_authorized.h"
#include "rpc/verifier_conversions.h"
#include "wire/messages.h"

namespace vmattest::rpc {
namespace {

using verification::HostEntry;

absl::Status HostReason(absl::Status status) {
  return Reasoned(std::move(status),
                  {{absl::StatusCode::kNotFound, "HOST_NOT_FOUND"},
                   {absl::StatusCode::kAlreadyExists, "HOST_KNOWN"},
                   {absl::StatusCode::kPermissionDenied, "HOST_DENIED"},
                   {absl::StatusCode::kFailedPrecondition, "HOST_STATE"}});
}

// A response that holds one host.
template <class Response>
absl::StatusOr<Response> WithHost(absl::StatusOr<HostEntry> host) {
  if (!host.ok()) {
    return HostReason(host.status());
  }
  Response response;
  *response.mutable_host() = ToWire(*host);
  return response;
}

}  // namespace

template <class Request, class Response, class Work>
grpc::ServerUnaryReactor* EnrollmentService::Run(
    const grpc::CallbackServerContext& context, std::string_view method,
    const Request& request, Response* response, Work work) {
  return RunAuthorized(
      authorizer_, fmt::format("vmattest.v1.Enrollment/{}", method), context,
      parts_.requests, request, response, std::move(work));
}

grpc::ServerUnaryReactor* EnrollmentService::BeginEnrollment(
    grpc::CallbackServerContext* context,
    const v1::BeginEnrollmentRequest* request,
    v1::BeginEnrollmentResponse* response) {
  return Run(
      *context, "BeginEnrollment", *request, response,
      [this](const Authority& authority,
             const v1::BeginEnrollmentRequest& begin)
          -> absl::StatusOr<v1::BeginEnrollmentResponse> {
        const auto begun = parts_.hosts.Begin(
            authority.identity(), wire::Serialize(begin.identity()));
        if (!begun.ok()) {
          return HostReason(begun.status());
        }
        if (!begun->verdict.trusted()) {
          return Refusal(begun->verdict, "IDENTITY_REFUSED");
        }
        v1::BeginEnrollmentResponse wire;
        const auto& challenge = begun->challenge;
        wire.set_challenge_id(wire::ToField(challenge.id));
        wire.set_credential_blob(
            wire::ToField(challenge.credential.credential_blob));
        wire.set_encrypted_secret(
            wire::ToField(challenge.credential.encrypted_secret));
        wire.set_expires_unix_ms(challenge.expires.time_since_epoch().count());
        return wire;
      });
}

grpc::ServerUnaryReactor* EnrollmentService::CompleteEnrollment(
    grpc::CallbackServerContext* context,
    const v1::CompleteEnrollmentRequest* request,
    v1::CompleteEnrollmentResponse* response) {
  return Run(
      *context, "CompleteEnrollment", *request, response,
      [this](const Authority& authority,
             const v1::CompleteEnrollmentRequest& complete) {
        return WithHost<v1::CompleteEnrollmentResponse>(parts_.hosts.Complete(
            authority.identity(), AsBytes(complete.challenge_id()),
            AsBytes(complete.proof())));
      });
}

grpc::ServerUnaryReactor* EnrollmentService::UpdateKeys(
    grpc::CallbackServerContext* context, const v1::UpdateKeysRequest* request,
    v1::UpdateKeysResponse* response) {
  return Run(
      *context, "UpdateKeys", *request, response,
      [this](const Authority& authority, const v1::UpdateKeysRequest& update)
          -> absl::StatusOr<v1::UpdateKeysResponse> {
        auto updated = parts_.hosts.UpdateKeys(
            authority.identity(), wire::Serialize(update.identity()));
        if (!updated.ok()) {
          return HostReason(updated.status());
        }
        if (!updated->verdict.trusted()) {
          return Refusal(updated->verdict, "IDENTITY_REFUSED");
        }
        return WithHost<v1::UpdateKeysResponse>(updated->host);
      });
}

grpc::ServerUnaryReactor* EnrollmentService::ListHosts(
    grpc::CallbackServerContext* context, const v1::ListHostsRequest* request,
    v1::ListHostsResponse* response) {
  return Run(*context, "ListHosts", *request, response,
             [this](const Authority&, const v1::ListHostsRequest& list)
                 -> absl::StatusOr<v1::ListHostsResponse> {
               ASSIGN_OR_RETURN(const size_t size, PageSize(list.page_size()));
               if (!list.page_token().empty() &&
                   !CheckHostId(list.page_token()).ok()) {
                 return FieldError("page_token", "is none of ours");
               }
               ASSIGN_OR_RETURN(const std::vector<HostEntry> hosts,
                                parts_.hosts.List(list.page_token(), size));
               v1::ListHostsResponse wire;
               for (const HostEntry& host : hosts) {
                 *wire.add_hosts() = ToWire(host);
               }
               if (hosts.size() == size) {
                 wire.set_next_page_token(hosts.back().host_id);
               }
               return wire;
             });
}

grpc::ServerUnaryReactor* EnrollmentService::GetHost(
    grpc::CallbackServerContext* context, const v1::GetHostRequest* request,
    v1::GetHostResponse* response) {
  return Run(
      *context, "GetHost", *request, response,
      [this](const Authority&, const v1::GetHostRequest& get)
          -> absl::StatusOr<v1::GetHostResponse> {
        RETURN_IF_ERROR(CheckHostId(get.host_id()));
        return WithHost<v1::GetHostResponse>(parts_.hosts.Get(get.host_id()));
      });
}

grpc::ServerUnaryReactor* EnrollmentService::ApproveHost(
    grpc::CallbackServerContext* context, const v1::ApproveHostRequest* request,
    v1::ApproveHostResponse* response) {
  return Run(*context, "ApproveHost", *request, response,
             [this](const Authority&, const v1::ApproveHostRequest& approve)
                 -> absl::StatusOr<v1::ApproveHostResponse> {
               RETURN_IF_ERROR(CheckHostId(approve.host_id()));
               ASSIGN_OR_RETURN(const Bytes ak_name, AkName(approve.ak_name()));
               return WithHost<v1::ApproveHostResponse>(
                   parts_.hosts.Approve(approve.host_id(), ak_name));
             });
}

grpc::ServerUnaryReactor* EnrollmentService::AllowRebind(
    grpc::CallbackServerContext* context, const v1::AllowRebindRequest* request,
    v1::AllowRebindResponse* response) {
  return Run(
      *context, "AllowRebind", *request, response,
      [this](const Authority&, const v1::AllowRebindRequest& allow)
          -> absl::StatusOr<v1::AllowRebindResponse> {
        RETURN_IF_ERROR(CheckHostId(allow.host_id()));
        ASSIGN_OR_RETURN(const Bytes ak_name, AkName(allow.ak_name()));
        const absl::Status allowed = parts_.hosts.AllowRebind(
            allow.host_id(), ak_name,
            WallTime(std::chrono::milliseconds(allow.expires_unix_ms())));
        if (!allowed.ok()) {
          return HostReason(allowed);
        }
        return v1::AllowRebindResponse();
      });
}

grpc::ServerUnaryReactor* EnrollmentService::RevokeHost(
    grpc::CallbackServerContext* context, const v1::RevokeHostRequest* request,
    v1::RevokeHostResponse* response) {
  return Run(*context, "RevokeHost", *request, response,
             [this](const Authority&, const v1::RevokeHostRequest& revoke)
                 -> absl::StatusOr<v1::RevokeHostResponse> {
               RETURN_IF_ERROR(CheckHostId(revoke.host_id()));
               return WithHost<v1::RevokeHostResponse>(
                   parts_.hosts.Revoke(revoke.host_id(), revoke.reason()));
             });
}

}  // namespace vmattest::rpc
