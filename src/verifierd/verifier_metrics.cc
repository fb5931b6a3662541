#include "verifierd/verifier_metrics.h"

#include <iterator>
#include <utility>

namespace vmattest::verifierd {

std::vector<ops::Metric> ToMetrics(
    const VerificationStack::Counters& counters) {
  using Type = ops::Metric::Type;
  const auto value = [](uint64_t number) {
    return static_cast<double>(number);
  };
  return {
      {"vmattest_verifier_decisions_total",
       "Decisions that were stored.",
       Type::kCounter,
       value(counters.decisions.trusted),
       {{"result", "trusted"}}},
      {"vmattest_verifier_decisions_total",
       "Decisions that were stored.",
       Type::kCounter,
       value(counters.decisions.refused),
       {{"result", "refused"}}},
      {"vmattest_verifier_decisions_lost_total",
       "Decisions that could not be stored, so nobody was told.",
       Type::kCounter,
       value(counters.decisions.failed),
       {}},
      {"vmattest_verifier_watchers",
       "Streams of alerts that are open.",
       Type::kGauge,
       value(counters.decisions.watchers),
       {}},
      {"vmattest_verifier_challenges",
       "Enrolments that wait for their host's proof.",
       Type::kGauge,
       value(counters.challenges),
       {}},
      {"vmattest_verifier_webhook_sent_total",
       "Decisions that the webhook's server took.",
       Type::kCounter,
       value(counters.webhook.sent),
       {}},
      {"vmattest_verifier_webhook_dropped_total",
       "Decisions that it was not told of: queue full, or given up.",
       Type::kCounter,
       value(counters.webhook.dropped),
       {}},
      {"vmattest_verifier_webhook_waiting",
       "Decisions that wait to be sent.",
       Type::kGauge,
       value(counters.webhook.waiting),
       {}},
  };
}

std::vector<ops::Metric> ToMetrics(const VerificationStack::Counters& counters,
                                   bool store_up) {
  using Type = ops::Metric::Type;
  std::vector<ops::Metric> metrics = {{"vmattest_build_info",
                                       "The version that runs.",
                                       Type::kGauge,
                                       1,
                                       {{"version", VMATTEST_VERSION}}},
                                      {"vmattest_component_up",
                                       "1 if the component serves.",
                                       Type::kGauge,
                                       store_up ? 1.0 : 0.0,
                                       {{"component", "verifier-store"}}}};
  std::vector<ops::Metric> others = ToMetrics(counters);
  std::move(others.begin(), others.end(), std::back_inserter(metrics));
  return metrics;
}

}  // namespace vmattest::verifierd
