#ifndef VMATTEST_RPC_CALL_CONTEXT_H_
#define VMATTEST_RPC_CALL_CONTEXT_H_

#include <chrono>
#include <string>
#include <vector>

#include "base/clock.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/server_context.h"

namespace vmattest::rpc {

// A call without a deadline gets the first; none may take longer than the
// second, whatever the client asks for.
inline constexpr std::chrono::minutes kDefaultDeadline{5};
inline constexpr std::chrono::minutes kLongestDeadline{30};

// When the answer must be there, on the monotonic clock.
MonotonicTime DeadlineOf(const grpc::CallbackServerContext& context,
                         const Clock& clock);

// URI SANs of the client's certificate, which TLS has verified.
std::vector<std::string> IdentitiesOf(const grpc::AuthContext& context);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CALL_CONTEXT_H_
