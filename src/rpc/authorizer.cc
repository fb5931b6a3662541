#include "rpc/authorizer.h"

#include "fmt/format.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {
namespace {

// Every method there is, and the least role that may call it.
const std::map<std::string, Role, std::less<>>& Methods() {
  static const auto& methods = *new std::map<std::string, Role, std::less<>>{
      {"vmattest.v1.Attestation/ListVms", Role::kRead},
      {"vmattest.v1.Attestation/GetVm", Role::kRead},
      {"vmattest.v1.Attestation/MeasureConfig", Role::kRead},
      {"vmattest.v1.Attestation/AttestConfig", Role::kRead},
      {"vmattest.v1.Attestation/WatchEvents", Role::kRead},
      {"vmattest.v1.Attestation/GetHostIdentity", Role::kRead},
      {"vmattest.v1.Attestation/GetEventLog", Role::kRead},
      {"vmattest.v1.Attestation/DiscloseLeaf", Role::kRead},
      {"vmattest.v1.Admin/GetStatus", Role::kAdmin},
      {"vmattest.v1.Admin/Reconcile", Role::kAdmin},
      {"vmattest.v1.Admin/FlushDigestCache", Role::kAdmin},
      {"vmattest.v1.Admin/SetLogLevel", Role::kAdmin},
      {"vmattest.v1.Admin/ListKeys", Role::kAdmin},
      {"vmattest.v1.Admin/RotateKey", Role::kAdmin},
      {"vmattest.v1.Admin/RevokeKey", Role::kAdmin},
      {"vmattest.v1.Admin/GetSealStatus", Role::kAdmin},
      {"vmattest.v1.Admin/ApproveBoot", Role::kAdmin},
      {"vmattest.v1.Admin/ReEnroll", Role::kAdmin},
      {"vmattest.v1.Admin/GetVmSalt", Role::kAdmin},
  };
  return methods;
}

absl::Status Denied(std::string_view method) {
  return WithReason(absl::PermissionDeniedError(
                        fmt::format("not allowed to call {}", method)),
                    {"METHOD_DENIED", {{"method", std::string(method)}}});
}

}  // namespace

Authorizer::Authorizer(Listener listener,
                       const std::vector<ClientGrant>& grants)
    : listener_(listener) {
  for (const ClientGrant& grant : grants) {
    grants_.emplace(grant.identity, grant);
  }
}

absl::StatusOr<Authority> Authorizer::Authorize(
    std::string_view method, const std::vector<std::string>& identities) const {
  const auto it = Methods().find(method);
  if (it == Methods().end()) {
    return Denied(method);
  }
  const bool needs_admin = it->second == Role::kAdmin;
  switch (listener_) {
    case Listener::kAdminSocket:
      return Authority::AllVms(Role::kAdmin);
    case Listener::kReadSocket:
      if (needs_admin) {
        return Denied(method);
      }
      return Authority::AllVms(Role::kRead);
    case Listener::kTcp:
      break;
  }
  ASSIGN_OR_RETURN(const ClientGrant* grant, FindGrant(identities));
  if (needs_admin && grant->role != Role::kAdmin) {
    return Denied(method);
  }
  return Authority::Of(*grant);
}

absl::Status Authorizer::AuthorizeConnection(
    const std::vector<std::string>& identities) const {
  if (listener_ != Listener::kTcp) {
    return absl::OkStatus();
  }
  return FindGrant(identities).status();
}

absl::StatusOr<const ClientGrant*> Authorizer::FindGrant(
    const std::vector<std::string>& identities) const {
  if (identities.empty()) {
    return WithReason(absl::UnauthenticatedError(
                          "the client's certificate has no URI identity"),
                      {"CLIENT_UNKNOWN", {}});
  }
  for (const std::string& identity : identities) {
    if (const auto it = grants_.find(identity); it != grants_.end()) {
      return &it->second;
    }
  }
  return WithReason(absl::PermissionDeniedError(
                        fmt::format("{} has no grant", identities.front())),
                    {"CLIENT_NOT_GRANTED", {{"identity", identities.front()}}});
}

absl::Status VmDenied(std::string_view vm) {
  return WithReason(absl::PermissionDeniedError(
                        fmt::format("not allowed to ask about vm '{}'", vm)),
                    {"VM_DENIED", {{"vm", std::string(vm)}}});
}

}  // namespace vmattest::rpc
