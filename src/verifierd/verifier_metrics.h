#ifndef VMATTEST_VERIFIERD_VERIFIER_METRICS_H_
#define VMATTEST_VERIFIERD_VERIFIER_METRICS_H_

#include <vector>

#include "ops/metrics.h"
#include "verifierd/stack.h"

namespace vmattest::verifierd {

// What docs/metrics.md lists of the verifier; of one that is a part of another
// daemon without what that says itself. Pure.
std::vector<ops::Metric> ToMetrics(const VerificationStack::Counters& counters);
std::vector<ops::Metric> ToMetrics(const VerificationStack::Counters& counters,
                                   bool store_up);

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_VERIFIER_METRICS_H_
