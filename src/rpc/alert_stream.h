#ifndef VMATTEST_RPC_ALERT_STREAM_H_
#define VMATTEST_RPC_ALERT_STREAM_H_

#include "grpcpp/support/server_callback.h"
#include "rpc/authorizer.h"
#include "rpc/verification_parts.h"
#include "vmattest/v1/verifier.pb.h"

namespace vmattest::rpc {

using AlertReactor = grpc::ServerWriteReactor<v1::WatchAlertsResponse>;

// Streams alerts to one watcher from the store, page by page: nothing is queued
// for it. Once it has caught up, one that is more than parts.max_lag behind is
// closed with RESOURCE_EXHAUSTED (WATCHER_TOO_SLOW) and may resume.
// `after_sequence` 0: from now on. OUT_OF_RANGE (EVENTS_NOT_KEPT): the store no
// longer has, or never had, what follows it.
AlertReactor* StartAlertStream(const VerificationParts& parts,
                               const v1::WatchAlertsRequest& request,
                               Authority authority);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_ALERT_STREAM_H_
