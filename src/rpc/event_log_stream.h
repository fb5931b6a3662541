#ifndef VMATTEST_RPC_EVENT_LOG_STREAM_H_
#define VMATTEST_RPC_EVENT_LOG_STREAM_H_

#include <functional>

#include "attestor/attestor.h"
#include "grpcpp/support/server_callback.h"
#include "vmattest/v1/attestation.pb.h"

namespace vmattest::rpc {

using EventLogReactor = grpc::ServerWriteReactor<v1::GetEventLogResponse>;

// The answer to GetEventLog, in pieces of 256 KiB. `fetch` is called once,
// before this returns, and must answer once, from any thread.
EventLogReactor* StreamEventLog(
    const std::function<void(attestor::HostLogDone)>& fetch);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_EVENT_LOG_STREAM_H_
