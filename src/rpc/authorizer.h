#ifndef VMATTEST_RPC_AUTHORIZER_H_
#define VMATTEST_RPC_AUTHORIZER_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/uuid.h"

namespace vmattest::rpc {

// Where a call came in. The socket is the authority: who may open it is the
// file system's business.
enum class Listener { kAdminSocket, kReadSocket, kTcp };

// kRead and kAdmin are for Attestation and Admin, the others for Enrollment and
// Verifier: a host, who owns or audits VMs, who runs the verifier.
enum class Role { kRead, kAdmin, kHost, kCustomer, kAuditor, kOperator };

// As in configuration: "read", "admin", "host", ...
std::string_view ToString(Role role);
std::optional<Role> ParseRole(std::string_view name);

struct ClientGrant {
  std::string identity;  // URI SAN of the client's certificate
  Role role = Role::kRead;
  bool all_vms = false;
  std::set<Uuid> vms;
};

// What one caller may do.
class Authority {
 public:
  static Authority AllVms(std::set<Role> roles) {
    return Authority(std::move(roles), "", true, {});
  }
  static Authority Of(const ClientGrant& grant) {
    return Authority({grant.role}, grant.identity, grant.all_vms, grant.vms);
  }
  [[nodiscard]] bool Is(Role role) const { return roles_.contains(role); }
  // May see leaves that are salted.
  [[nodiscard]] bool is_admin() const { return Is(Role::kAdmin); }
  // URI of the certificate; empty on a socket.
  [[nodiscard]] const std::string& identity() const { return identity_; }
  [[nodiscard]] bool allows_all_vms() const { return all_vms_; }
  // Unless all.
  [[nodiscard]] const std::set<Uuid>& vms() const { return vms_; }
  [[nodiscard]] bool AllowsVm(const Uuid& uuid) const {
    return all_vms_ || vms_.contains(uuid);
  }

 private:
  Authority(std::set<Role> roles, std::string identity, bool all_vms,
            std::set<Uuid> vms)
      : roles_(std::move(roles)),
        identity_(std::move(identity)),
        all_vms_(all_vms),
        vms_(std::move(vms)) {}

  std::set<Role> roles_;
  std::string identity_;
  bool all_vms_;
  std::set<Uuid> vms_;
};

// Decides on every call, by listener and certificate; what no rule allows is
// denied, so a method that is not listed in authorizer.cc can never be called.
// The admin socket is administrator and operator, never a host. Immutable;
// callable from any thread.
class Authorizer {
 public:
  // `grants` matter on kTcp only.
  Authorizer(Listener listener, const std::vector<ClientGrant>& grants);

  // `method` is "vmattest.v1.Attestation/ListVms"; `identities` are the URI
  // SANs of the verified client certificate. With several, the first that has
  // a grant counts.
  //   UNAUTHENTICATED: no identity. PERMISSION_DENIED: not granted.
  [[nodiscard]] absl::StatusOr<Authority> Authorize(
      std::string_view method,
      const std::vector<std::string>& identities) const;
  // The same for what every granted client may use: health and reflection.
  [[nodiscard]] absl::Status AuthorizeConnection(
      const std::vector<std::string>& identities) const;
  [[nodiscard]] Listener listener() const { return listener_; }

 private:
  [[nodiscard]] absl::StatusOr<Authority> AuthorityOf(
      const std::vector<std::string>& identities) const;
  [[nodiscard]] absl::StatusOr<const ClientGrant*> FindGrant(
      const std::vector<std::string>& identities) const;

  const Listener listener_;
  std::map<std::string, ClientGrant> grants_;
};

// PERMISSION_DENIED about one VM; says the same of one that does not exist.
absl::Status VmDenied(std::string_view vm);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_AUTHORIZER_H_
