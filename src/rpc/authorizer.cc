#include "rpc/authorizer.h"

#include "fmt/format.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {
namespace {

constexpr std::pair<Role, std::string_view> kRoles[] = {
    {Role::kRead, "read"},       {Role::kAdmin, "admin"},
    {Role::kHost, "host"},       {Role::kCustomer, "customer"},
    {Role::kAuditor, "auditor"}, {Role::kOperator, "operator"}};

using Roles = std::set<Role>;

// Every method there is, and the roles that may call it.
const std::map<std::string, Roles, std::less<>>& Methods() {
  static const Roles kReaders = {Role::kRead, Role::kAdmin};
  static const Roles kAdmins = {Role::kAdmin};
  static const Roles kHosts = {Role::kHost};
  static const Roles kOperators = {Role::kOperator};
  static const Roles kOwners = {Role::kCustomer, Role::kOperator};
  static const Roles kLookers = {Role::kCustomer, Role::kAuditor,
                                 Role::kOperator};
  static const Roles kComparers = {Role::kHost, Role::kCustomer,
                                   Role::kOperator};
  static const Roles kLedgerWriters = {Role::kHost, Role::kOperator};
  static const Roles kLedgerReaders = {Role::kHost, Role::kAuditor,
                                       Role::kOperator};
  static const Roles kTrustReaders = {Role::kRead,    Role::kAdmin,
                                      Role::kHost,    Role::kCustomer,
                                      Role::kAuditor, Role::kOperator};
  static const auto& methods = *new std::map<std::string, Roles, std::less<>>{
      {"vmattest.v1.Attestation/ListVms", kReaders},
      {"vmattest.v1.Attestation/GetVm", kReaders},
      {"vmattest.v1.Attestation/MeasureConfig", kReaders},
      {"vmattest.v1.Attestation/AttestConfig", kReaders},
      {"vmattest.v1.Attestation/WatchEvents", kReaders},
      {"vmattest.v1.Attestation/GetHostIdentity", kReaders},
      {"vmattest.v1.Attestation/GetEventLog", kReaders},
      {"vmattest.v1.Attestation/DiscloseLeaf", kReaders},
      {"vmattest.v1.Memory/CaptureSnapshot", kAdmins},
      {"vmattest.v1.Memory/AttestState", kAdmins},
      {"vmattest.v1.Memory/EstimateSnapshot", kAdmins},
      {"vmattest.v1.Memory/GetSnapshot", kReaders},
      {"vmattest.v1.Memory/ListSnapshots", kReaders},
      {"vmattest.v1.Memory/ListSnapshotPolicies", kReaders},
      {"vmattest.v1.Admin/GetStatus", kAdmins},
      {"vmattest.v1.Admin/Reconcile", kAdmins},
      {"vmattest.v1.Admin/FlushDigestCache", kAdmins},
      {"vmattest.v1.Admin/SetLogLevel", kAdmins},
      {"vmattest.v1.Admin/ListKeys", kAdmins},
      {"vmattest.v1.Admin/RotateKey", kAdmins},
      {"vmattest.v1.Admin/RevokeKey", kAdmins},
      {"vmattest.v1.Admin/GetSealStatus", kAdmins},
      {"vmattest.v1.Admin/ApproveBoot", kAdmins},
      {"vmattest.v1.Admin/ReEnroll", kAdmins},
      {"vmattest.v1.Admin/GetVmSalt", kAdmins},
      {"vmattest.v1.Admin/StartVm", kAdmins},
      {"vmattest.v1.Enrollment/BeginEnrollment", kHosts},
      {"vmattest.v1.Enrollment/CompleteEnrollment", kHosts},
      {"vmattest.v1.Enrollment/UpdateKeys", kHosts},
      {"vmattest.v1.Enrollment/ListHosts", {Role::kAuditor, Role::kOperator}},
      {"vmattest.v1.Enrollment/GetHost", {Role::kAuditor, Role::kOperator}},
      {"vmattest.v1.Enrollment/ApproveHost", kOperators},
      {"vmattest.v1.Enrollment/AllowRebind", kOperators},
      {"vmattest.v1.Enrollment/RevokeHost", kOperators},
      {"vmattest.v1.Verifier/Appraise", kComparers},
      {"vmattest.v1.Verifier/GetVerificationKeys",
       {Role::kRead, Role::kAdmin, Role::kHost, Role::kCustomer, Role::kAuditor,
        Role::kOperator}},
      {"vmattest.v1.Verifier/ListResultKeys",
       {Role::kAuditor, Role::kOperator}},
      {"vmattest.v1.Verifier/RotateResultKeys", kOperators},
      {"vmattest.v1.Verifier/RequestAttestation", kOwners},
      {"vmattest.v1.Verifier/ListDecisions", kLookers},
      {"vmattest.v1.Verifier/GetDecision", kLookers},
      {"vmattest.v1.Verifier/WatchAlerts", kLookers},
      {"vmattest.v1.Verifier/PutReference", kOwners},
      {"vmattest.v1.Verifier/PutBreakGlass", kOwners},
      {"vmattest.v1.Verifier/ListReferences", kLookers},
      {"vmattest.v1.Verifier/GetReference", kLookers},
      {"vmattest.v1.Verifier/LearnReference", kOwners},
      {"vmattest.v1.Verifier/Simulate", kOwners},
      {"vmattest.v1.Verifier/GetHostPolicy", kHosts},
      {"vmattest.v1.Baselines/PutBaseline", kOwners},
      {"vmattest.v1.Baselines/ListBaselines", kLookers},
      {"vmattest.v1.Baselines/GetBaseline", kLookers},
      {"vmattest.v1.Baselines/BeginComparison", kComparers},
      {"vmattest.v1.Baselines/ReadNodes", kComparers},
      {"vmattest.v1.Baselines/ReadRecords", kComparers},
      {"vmattest.v1.Baselines/FinishComparison", kComparers},
      {"vmattest.v1.Ledger/Submit", kLedgerWriters},
      {"vmattest.v1.Ledger/GetWriter", kLedgerWriters},
      {"vmattest.v1.Ledger/AddCheckpoint", kLedgerWriters},
      {"vmattest.v1.Ledger/GetTrust", kTrustReaders},
      {"vmattest.v1.Ledger/ListHistory", kTrustReaders},
      {"vmattest.v1.Ledger/WatchVm", kTrustReaders},
      {"vmattest.v1.Ledger/GetCheckpoint", kTrustReaders},
      {"vmattest.v1.Ledger/GetInclusionProof", kLedgerReaders},
      {"vmattest.v1.Ledger/GetConsistencyProof", kLedgerReaders},
      {"vmattest.v1.Ledger/ListRecords", kLedgerReaders},
      {"vmattest.v1.Ledger/WatchAll", kLedgerReaders},
  };
  return methods;
}

absl::Status Denied(std::string_view method) {
  return WithReason(absl::PermissionDeniedError(
                        fmt::format("not allowed to call {}", method)),
                    {"METHOD_DENIED", {{"method", std::string(method)}}});
}

}  // namespace

std::string_view ToString(Role role) {
  for (const auto& [known, name] : kRoles) {
    if (known == role) {
      return name;
    }
  }
  return "unknown";
}

std::optional<Role> ParseRole(std::string_view text) {
  for (const auto& [role, name] : kRoles) {
    if (name == text) {
      return role;
    }
  }
  return std::nullopt;
}

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
  absl::StatusOr<Authority> authority = AuthorityOf(identities);
  RETURN_IF_ERROR(authority.status());
  for (const Role role : it->second) {
    if (authority->Is(role)) {
      return authority;
    }
  }
  return Denied(method);
}

absl::StatusOr<Authority> Authorizer::AuthorityOf(
    const std::vector<std::string>& identities) const {
  switch (listener_) {
    case Listener::kAdminSocket:
      return Authority::AllVms({Role::kAdmin, Role::kOperator});
    case Listener::kReadSocket:
      return Authority::AllVms({Role::kRead});
    case Listener::kTcp:
      break;
  }
  ASSIGN_OR_RETURN(const ClientGrant* grant, FindGrant(identities));
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
