#ifndef VMATTEST_DAEMON_METRICS_H_
#define VMATTEST_DAEMON_METRICS_H_

#include <vector>

#include "ops/metrics.h"
#include "outbox/outbox.h"
#include "rpc/admin_service.h"

namespace vmattest::daemon {

// What docs/metrics.md lists, from what GetStatus answers, and of the outbox.
// Pure.
std::vector<ops::Metric> ToMetrics(const rpc::DaemonStatus& status);
std::vector<ops::Metric> ToMetrics(const outbox::Outbox::State& state);

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_METRICS_H_
