#include "rpc/grants.h"

#include "fmt/format.h"

namespace vmattest::rpc {

absl::StatusOr<std::vector<ClientGrant>> ToGrants(
    const std::vector<config::ClientGrant>& clients) {
  std::vector<ClientGrant> grants;
  for (const config::ClientGrant& client : clients) {
    const std::optional<Role> role = ParseRole(client.role);
    if (!role) {
      return absl::InvalidArgumentError(
          fmt::format("unknown role '{}'", client.role));
    }
    grants.push_back({.identity = client.identity,
                      .role = *role,
                      .all_vms = client.all_vms,
                      .vms = {client.vms.begin(), client.vms.end()}});
  }
  return grants;
}

}  // namespace vmattest::rpc
