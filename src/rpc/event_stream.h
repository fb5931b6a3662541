#ifndef VMATTEST_RPC_EVENT_STREAM_H_
#define VMATTEST_RPC_EVENT_STREAM_H_

#include <functional>
#include <string>

#include "attestor/event_hub.h"
#include "base/executor.h"
#include "grpcpp/support/server_callback.h"
#include "inventory/vm_store.h"
#include "rpc/authorizer.h"
#include "vmattest/v1/attestation.pb.h"

namespace vmattest::rpc {

using EventReactor = grpc::ServerWriteReactor<v1::WatchEventsResponse>;

// Streams events to one watcher: first what the store has after
// `after_sequence`, then live, without gap or duplicate. It subscribes before
// it reads the store, and whenever a live event's sequence is not the next one
// it reads the store again, so publishers need not be in order.
//
// At most `queue` events wait for a slow watcher, then the stream ends with
// RESOURCE_EXHAUSTED (WATCHER_TOO_SLOW); progress events are dropped instead.
// OUT_OF_RANGE (EVENTS_NOT_KEPT): the store no longer has, or never had, what
// follows `after_sequence`.
struct EventStreamParts {
  attestor::EventHub& events;
  inventory::VmStore& store;
  // One thread; everything of a stream happens there, also store reads.
  Executor& watch;
  size_t queue = 1024;
};
EventReactor* StartEventStream(const EventStreamParts& parts,
                               const v1::WatchEventsRequest& request,
                               Authority authority);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_EVENT_STREAM_H_
