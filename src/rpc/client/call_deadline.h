#ifndef VMATTEST_RPC_CLIENT_CALL_DEADLINE_H_
#define VMATTEST_RPC_CLIENT_CALL_DEADLINE_H_

#include <chrono>

#include "base/clock.h"

namespace vmattest::rpc {

// gRPC's deadlines are on the wall clock.
inline std::chrono::system_clock::time_point CallDeadline(
    MonotonicTime deadline) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             deadline - std::chrono::steady_clock::now());
}

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CLIENT_CALL_DEADLINE_H_
