#include "rpc/call_context.h"

#include <algorithm>

#include "grpc/grpc_security_constants.h"

namespace vmattest::rpc {

MonotonicTime DeadlineOf(const grpc::CallbackServerContext& context,
                         const Clock& clock) {
  using std::chrono::system_clock;
  std::chrono::nanoseconds left = kDefaultDeadline;
  if (context.deadline() != system_clock::time_point::max()) {
    left = std::min<std::chrono::nanoseconds>(
        context.deadline() - system_clock::now(), kLongestDeadline);
  }
  return clock.Monotonic() +
         std::chrono::duration_cast<MonotonicTime::duration>(left);
}

std::vector<std::string> IdentitiesOf(const grpc::AuthContext& context) {
  std::vector<std::string> identities;
  if (!context.IsPeerAuthenticated()) {
    return identities;
  }
  for (const grpc::string_ref& uri :
       context.FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME)) {
    identities.emplace_back(uri.data(), uri.size());
  }
  return identities;
}

}  // namespace vmattest::rpc
