#include <utility>

#include "base/log.h"
#include "daemon/config_values.h"
#include "daemon/metrics.h"
#include "daemon/owners.h"
#include "fmt/format.h"
#include "verifierd/verifier_metrics.h"

namespace vmattest::daemon {
namespace {

constexpr std::string_view kVerifierStore = rpc::kVerifierNeeds[0];
// All that report their health; Attestation needs the first three.
constexpr std::string_view kComponents[] = {
    "libvirt",      "tpm",       "store", "event-log",
    "post-quantum", "kvm-watch", "gate"};

}  // namespace

absl::StatusOr<rpc::DaemonStatus> Daemon::Owners::Status() {
  rpc::DaemonStatus status;
  status.version = VMATTEST_VERSION;
  status.started_unix_ms = started.time_since_epoch().count();
  const auto components = health.All();
  std::vector<std::string_view> names(std::begin(kComponents),
                                      std::end(kComponents));
  if (config.verifier) {
    names.push_back("verifier");
  }
  if (verification) {
    names.push_back(kVerifierStore);
  }
  if (ledger) {
    names.emplace_back("ledger");
  }
  for (const std::string_view name : names) {
    const auto it = components.find(name);
    if (it == components.end()) {
      status.components.push_back({std::string(name), false,
                                   "has not reported yet",
                                   status.started_unix_ms});
    } else {
      status.components.push_back(
          {std::string(name), it->second.status.ok(),
           std::string(it->second.status.message()),
           it->second.since.time_since_epoch().count()});
    }
  }
  if (const auto domains = libvirt.ListDomains(); domains.ok()) {
    status.vms = domains->size();
  }
  status.unmanaged_vms = Unmanaged();
  const signing::SignerState signer_state = signer.state();
  status.event_log_records = signer_state.log ? signer_state.log->size : 0;
  const signing::SignerStats seals = signer.stats();
  status.pending_seals = seals.pending;
  status.quotes_made = seals.quotes;
  status.envelopes_sealed = seals.sealed;
  const image::DigestCache::Counters digests = cache.counters();
  status.digest_cache_entries = digests.entries;
  status.digest_cache_hits = digests.hits;
  status.digest_cache_misses = digests.misses;
  return status;
}

std::vector<ops::Metric> Daemon::Owners::Metrics() {
  std::vector<ops::Metric> all;
  if (const auto status = Status(); status.ok()) {
    all = ToMetrics(*status);
  }
  if (verification) {
    const auto more = verifierd::ToMetrics(verification->counters());
    all.insert(all.end(), more.begin(), more.end());
  }
  if (memory) {
    const auto more = memory->Metrics();
    all.insert(all.end(), more.begin(), more.end());
  }
  if (ledger) {
    const auto more = ledger->Metrics();
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

absl::StatusOr<SecretBytes> Daemon::Owners::SaltOf(const std::string& vm) {
  ASSIGN_OR_RETURN(const inventory::VmRecord record, attestor.GetVm(vm));
  if (!salted(record.uuid)) {
    return absl::NotFoundError(
        fmt::format("VM '{}' has public leaves (measurement.salted_vms)", vm));
  }
  return store.Salt(record.uuid);
}

absl::StatusOr<rpc::VmStart> Daemon::Owners::StartVm(const std::string& vm,
                                                     bool keep_paused) {
  if (!gate) {
    return absl::FailedPreconditionError(
        "the launch gate is off (gate.enabled)");
  }
  ASSIGN_OR_RETURN(const gate::StrictStart::Outcome outcome,
                   gate->StartVm(vm, keep_paused));
  return rpc::VmStart{.state = std::string(gate::ToString(outcome.state)),
                      .code = outcome.code,
                      .sentence = outcome.sentence,
                      .vm_uuid = outcome.vm_uuid};
}

rpc::AdminActions Daemon::Owners::AdminActions() {
  return {
      .status = [this] { return Status(); },
      .reconcile = [this] { return lifecycle.Reconcile(); },
      .flush_digest_cache =
          [this] {
            const uint64_t entries = cache.counters().entries;
            cache.Flush();
            return entries;
          },
      .set_log_level =
          [](std::string_view level) { return log::Configure(level); },
      .vm_salt = [this](const std::string& vm) { return SaltOf(vm); },
      .start_vm = [this](const std::string& vm,
                         bool keep_paused) { return StartVm(vm, keep_paused); },
      .starts = &starts,
      .signer = &signer};
}

rpc::ServiceMaker Daemon::Owners::Services() {
  rpc::AttestationService::Parts attestation = {
      .attestor = attestor,
      .requests = requests,
      .events = {.events = events,
                 .store = store,
                 .watch = watch,
                 .queue = config.watcher_queue},
      .clock = clock,
      .defaults = {.algorithm = config.algorithm,
                   .content = ToPolicy(config.content),
                   .inside = ToPolicy(config.inside)},
      .unmanaged = {}};
  if (processes) {
    attestation.unmanaged = [this] { return processes->Unmanaged(); };
  }
  rpc::ServiceMaker own = rpc::HostServices(attestation, AdminActions());
  if (memory) {
    own = rpc::Together(std::move(own), memory->Services());
  }
  if (ledger) {
    own = rpc::Together(std::move(own), ledger->Services());
  }
  return config.verification
             ? rpc::Together(std::move(own),
                             rpc::VerificationServices(
                                 verification->Parts(requests, watch)))
             : own;
}

}  // namespace vmattest::daemon
