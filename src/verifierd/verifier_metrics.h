#ifndef VMATTEST_VERIFIERD_VERIFIER_METRICS_H_
#define VMATTEST_VERIFIERD_VERIFIER_METRICS_H_

#include <vector>

#include "ops/metrics.h"
#include "verifierd/stack.h"

namespace vmattest::verifierd {

// What docs/metrics.md lists of the verifier. Pure.
std::vector<ops::Metric> ToMetrics(const VerificationStack::Counters& counters,
                                   bool store_up);

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_VERIFIER_METRICS_H_
