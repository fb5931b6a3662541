#include "daemon/metrics.h"

namespace vmattest::daemon {
namespace {

using Type = ops::Metric::Type;

ops::Metric Value(const char* name, const char* help, Type type,
                  uint64_t value) {
  return {name, help, type, static_cast<double>(value), {}};
}

}  // namespace

std::vector<ops::Metric> ToMetrics(const rpc::DaemonStatus& status) {
  std::vector<ops::Metric> metrics = {
      {"vmattest_build_info",
       "The version that runs.",
       Type::kGauge,
       1,
       {{"version", status.version}}},
      Value("vmattest_unmanaged_vms", "VMs that run beside libvirt.",
            Type::kGauge, status.unmanaged_vms),
      Value("vmattest_quotes_total", "TPM quotes made.", Type::kCounter,
            status.quotes_made),
      Value("vmattest_envelopes_sealed_total", "Envelopes that quotes covered.",
            Type::kCounter, status.envelopes_sealed),
      Value("vmattest_pending_seals", "Envelopes waiting for the TPM.",
            Type::kGauge, status.pending_seals),
      Value("vmattest_event_log_records", "Records of the host event log.",
            Type::kGauge, status.event_log_records),
      Value("vmattest_digest_cache_entries", "Digests remembered.",
            Type::kGauge, status.digest_cache_entries),
      Value("vmattest_digest_cache_hits_total", "Digests answered from there.",
            Type::kCounter, status.digest_cache_hits),
      Value("vmattest_digest_cache_misses_total", "Digests computed.",
            Type::kCounter, status.digest_cache_misses)};
  bool libvirt = false;
  for (const rpc::ComponentState& component : status.components) {
    metrics.push_back({"vmattest_component_up",
                       "1 if the component serves.",
                       Type::kGauge,
                       component.serving ? 1.0 : 0.0,
                       {{"component", component.name}}});
    libvirt = libvirt || (component.name == "libvirt" && component.serving);
  }
  if (libvirt) {
    metrics.push_back(Value("vmattest_vms", "Domains that libvirt has.",
                            Type::kGauge, status.vms));
  }
  return metrics;
}

std::vector<ops::Metric> ToMetrics(const outbox::Outbox::State& state) {
  return {
      Value("vmattest_outbox_entries", "Entries that wait for the ledger.",
            Type::kGauge, state.counts.waiting),
      {"vmattest_outbox_oldest_seconds",
       "Age of the oldest of them.",
       Type::kGauge,
       static_cast<double>(state.oldest_age_ms) / 1000,
       {}},
      Value("vmattest_outbox_unwitnessed_entries",
            "Entries on the ledger that no quorum cosigned yet.", Type::kGauge,
            state.counts.unwitnessed),
      Value("vmattest_outbox_sent_total", "Entries that were committed.",
            Type::kCounter, state.sent),
      Value("vmattest_outbox_refused_total",
            "Entries that the ledger refused for good, ever.", Type::kCounter,
            state.counts.refused),
      Value("vmattest_outbox_merged_total",
            "Results that became part of an entry that waited.", Type::kCounter,
            state.merged),
      Value("vmattest_outbox_dropped_total",
            "Host events that found the queue full.", Type::kCounter,
            state.dropped),
      Value("vmattest_outbox_resent_total", "Entries that the ledger had lost.",
            Type::kCounter, state.resent)};
}

}  // namespace vmattest::daemon
