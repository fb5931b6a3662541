#ifndef VMATTEST_RPC_GRANTS_H_
#define VMATTEST_RPC_GRANTS_H_

#include <vector>

#include "base/status.h"
#include "config/tcp_listener.h"
#include "rpc/authorizer.h"

namespace vmattest::rpc {

// What a daemon's file gives its clients. INVALID_ARGUMENT: a role that there
// is not. Pure.
absl::StatusOr<std::vector<ClientGrant>> ToGrants(
    const std::vector<config::ClientGrant>& clients);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_GRANTS_H_
