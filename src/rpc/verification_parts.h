#ifndef VMATTEST_RPC_VERIFICATION_PARTS_H_
#define VMATTEST_RPC_VERIFICATION_PARTS_H_

#include "base/clock.h"
#include "base/executor.h"
#include "rpc/server.h"
#include "verification/appraiser.h"
#include "verification/baseline_book.h"
#include "verification/decision_log.h"
#include "verification/host_registry.h"
#include "verification/order_book.h"
#include "verification/reference_book.h"
#include "verification/snapshot_comparer.h"

namespace vmattest::rpc {

// What Enrollment, Verifier and Baselines are made of; all of it outlives the
// services.
struct VerificationParts {
  verification::VerifierStore& store;
  verification::HostRegistry& hosts;
  verification::ReferenceBook& references;
  verification::OrderBook& orders;
  verification::Appraiser& appraiser;
  verification::BaselineBook& baselines;
  verification::SnapshotComparer& comparer;
  verification::ResultKeys& result_keys;
  verification::DecisionLog& log;
  Executor& requests;  // blocking work
  Executor& watch;     // one thread: everything of alert streams
  const Clock& clock;
  // A watcher that is further behind than that is closed.
  size_t max_lag = 1024;
};

// What they cannot do without.
inline constexpr std::string_view kVerifierNeeds[] = {"verifier-store"};

// Enrollment, Verifier and Baselines, for a daemon of their own or beside
// others. Not on a read socket.
ServiceMaker VerificationServices(const VerificationParts& parts);
// Both makers' services on one listener.
ServiceMaker Together(ServiceMaker first, ServiceMaker second);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_VERIFICATION_PARTS_H_
