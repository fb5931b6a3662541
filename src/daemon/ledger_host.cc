#include "daemon/ledger_host.h"

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "daemon/ledger_assembly.h"
#include "daemon/metrics.h"
#include "fmt/format.h"
#include "outbox/vm_field.h"
#include "rpc/ledger_forward_service.h"
#include "rpc/ledger_service.h"
#include "verifierd/ledger_stack.h"
#include "wire/messages.h"

namespace vmattest::daemon {
namespace {

namespace fs = std::filesystem;
using outbox::Homes;

constexpr std::string_view kComponent = "ledger";
// Of a decision's deadline, what is left to say that the ledger is away.
constexpr std::chrono::milliseconds kToAnswer{1'000};
constexpr std::chrono::seconds kHomeLimit{5};
constexpr std::chrono::seconds kClaimLimit{15};
constexpr size_t kMaxText = 512;

// Events of the host that say something about the trust in it.
constexpr std::string_view kEvents[] = {
    "break-glass",  "daemon-started", "event-log-gap", "gate-bypassed",
    "gate-drift",   "gate-hook",      "host-booted",   "libvirt-found",
    "libvirt-lost", "signer-back",    "signer-lost",   "unmanaged-vm"};

constexpr std::string_view kTakenUp = "gate-taken-up";

// Refusals that say nothing about the VM.
bool IsOfTheLedger(const std::string& code) {
  return code == "gate-ledger" || code == "gate-unregistered" ||
         code == "gate-home";
}

}  // namespace

LedgerHost::LedgerHost(std::unique_ptr<Work> work) : work_(std::move(work)) {}
LedgerHost::~LedgerHost() = default;

absl::StatusOr<std::unique_ptr<LedgerHost>> LedgerHost::Make(
    const config::DaemonConfig& config, const Parts& parts) {
  std::unique_ptr<LedgerHost> host(
      new LedgerHost(std::make_unique<Work>(*config.ledger, parts)));
  RETURN_IF_ERROR_WITH(host->work_->Open(config), "ledger");
  host->TellHealth();
  host->Note("daemon-started", {});
  return host;
}

rpc::ServiceMaker LedgerHost::Services() {
  Work& work = *work_;
  if (work.stack != nullptr) {
    return rpc::LedgerServices({.node = work.stack->node(),
                                .requests = work.parts.requests,
                                .watch = work.parts.watch,
                                .on_read_socket = true});
  }
  rpc::LedgerForwardService::Parts forward{
      .requests = work.parts.requests,
      .get = [&work](const Uuid& vm) { return work.Ask(vm); },
      .is_local = work.parts.is_local,
      .add_checkpoint = {}};
  if (work.witness != nullptr) {
    forward.add_checkpoint = [&work](const ledger::WitnessRequest& request) {
      return work.witness->Add(request);
    };
  }
  return rpc::LedgerForwardService::Services(forward);
}

void LedgerHost::TellHealth() {
  if (work_->marker) {
    work_->marker->MarkNowAndThen();
  }
  absl::Status status = work_->box->state().health;
  if (work_->stack != nullptr) {
    status.Update(work_->stack->Tick());
  }
  if (work_->witness != nullptr) {
    // Worse than anything that waits.
    absl::Status witnessed = work_->witness->Tick();
    witnessed.Update(status);
    status = std::move(witnessed);
  }
  work_->parts.health.Set(kComponent, status);
}

void LedgerHost::MarkForRestart() {
  const absl::Status marked =
      work_->marker ? work_->marker->Mark() : absl::OkStatus();
  if (!marked.ok()) {
    log::Warning("the TPM does not vouch for the newest of the ledger",
                 {{"why", marked.ToString()}});
  }
}

void LedgerHost::Note(const std::string& kind,
                      const std::map<std::string, std::string>& facts) {
  if (std::find(std::begin(kEvents), std::end(kEvents), kind) ==
      std::end(kEvents)) {
    return;
  }
  v1::LedgerNotice notice;
  notice.set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
  std::string text = kind;
  for (const auto& [name, value] : facts) {
    text += fmt::format(" {}={}", name, log::Quote(value));
  }
  notice.set_text(text.substr(0, kMaxText));
  if (const absl::Status queued = work_->box->Event(notice); !queued.ok()) {
    log::Warning("a host event is not on the ledger",
                 {{"kind", kind}, {"why", queued.ToString()}});
  }
}

// Once for each boot, also if this daemon starts several times in it.
void LedgerHost::SignerIs(const signing::SignerState& now) {
  Work& work = *work_;
  if (!now.log_problem.empty() && now.log_problem != work.log_problem) {
    Note("event-log-gap", {{"why", now.log_problem}});
  }
  work.log_problem = now.log_problem;
  if (work.signer_serves && *work.signer_serves != now.tpm.ok()) {
    Note(now.tpm.ok() ? "signer-back" : "signer-lost",
         {{"why", std::string(now.tpm.message())}});
  }
  if (work.signer_serves || now.tpm.ok()) {
    work.signer_serves = now.tpm.ok();
  }
  if (now.boot_record == 0 || now.boot_record == work.boot_record) {
    return;
  }
  work.boot_record = now.boot_record;
  const fs::path path = work.folder / "boot-record";
  const std::string record = std::to_string(now.boot_record);
  const absl::StatusOr<Bytes> told = ReadFile(path, kMaxText);
  if (told.ok() && AsText(*told) == record) {
    return;
  }
  Note("host-booted", {{"event_log_record", record}});
  if (const absl::Status kept = WriteFileAtomic(path, AsBytes(record), 0600);
      !kept.ok()) {
    log::Warning("a boot may be told twice", {{"why", kept.ToString()}});
  }
}

std::optional<gate::Judgement> LedgerHost::CheckHome(const std::string& vm_uuid,
                                                     MonotonicTime deadline) {
  const absl::StatusOr<Uuid> vm = ParseUuid(vm_uuid);
  const std::string self = work_->HostId();
  if (!work_->settings.one_home || !vm.ok() || self.empty()) {
    return std::nullopt;
  }
  const MonotonicTime until = std::min(
      deadline - kToAnswer, std::chrono::steady_clock::now() + kHomeLimit);
  Homes::Home home = work_->homes->Find(*vm, self, until);
  if (home.answer == Homes::Answer::kUnregistered && work_->authority) {
    const absl::Status registered = work_->Register(*vm, until);
    home = registered.ok() ? work_->homes->Find(*vm, self, until)
                           : Homes::Home{.problem = registered};
  }
  switch (home.answer) {
    case Homes::Answer::kHere:
    case Homes::Answer::kNone:
      return std::nullopt;
    case Homes::Answer::kElsewhere:
      return gate::Deny(
          "gate-home",
          fmt::format("the ledger says that VM {} lives on host {}; migrate it "
                      "here, or have the Trust Authority give it another home",
                      vm_uuid, home.host));
    case Homes::Answer::kUnregistered:
      return gate::Deny(
          "gate-unregistered",
          fmt::format("VM {} is not on the ledger: its owner or the Trust "
                      "Authority has to register it (docs/operations.md)",
                      vm_uuid));
    case Homes::Answer::kUnknown:
      break;
  }
  return gate::Deny(
      "gate-ledger",
      fmt::format("the ledger cannot say where VM {} lives, and this host has "
                  "no record of that: {}",
                  vm_uuid, std::string(home.problem.message())));
}

absl::Status LedgerHost::Decided(const Decision& decision,
                                 MonotonicTime deadline) {
  if (!decision.allowed && IsOfTheLedger(decision.code)) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Uuid vm, ParseUuid(decision.vm_uuid));
  v1::LedgerLaunchDecision entry;
  entry.set_vm_id(outbox::FieldOf(vm));
  entry.set_allowed(decision.allowed);
  entry.set_mode(decision.mode);
  entry.set_reason(decision.code);
  entry.set_config_root(wire::ToField(decision.config_root));
  entry.set_reference(decision.reference.substr(0, kMaxText));
  if (!decision.ear.empty()) {
    entry.set_result_hash(
        wire::ToField(Hash(HashAlgorithm::kSha256, AsBytes(decision.ear))));
  }
  ASSIGN_OR_RETURN(const std::optional<outbox::OutboxFile::Home> known,
                   work_->file->FindHome(vm));
  // The first start here is a claim: another host may make it, too.
  const bool judged = decision.basis == gate::Basis::kVerdict ||
                      decision.basis == gate::Basis::kKeptVerdict;
  const bool claims =
      decision.allowed && judged && !known && work_->settings.one_home;
  if (decision.allowed) {
    const MutexLock lock(work_->mutex);
    work_->taken_up.insert(vm);
  }
  ASSIGN_OR_RETURN(const int64_t id, work_->box->Launch(entry, claims));
  if (decision.allowed && !decision.code.empty()) {
    // Let through by its mode, or by an order: that was no pass.
    v1::LedgerAttestResult failed;
    failed.set_vm_id(entry.vm_id());
    failed.set_outcome(v1::LEDGER_OUTCOME_FAIL);
    failed.set_check(v1::LEDGER_CHECK_CONFIG);
    failed.set_reason(decision.code);
    RETURN_IF_ERROR(work_->box->Result(failed));
  }
  return claims
             ? work_->box->AwaitCommitted(
                   id, std::min(deadline - kToAnswer,
                                std::chrono::steady_clock::now() + kClaimLimit))
             : absl::OkStatus();
}

void LedgerHost::Attested(const std::string& vm_uuid,
                          const Bytes& evidence_hash) {
  if (const absl::StatusOr<Uuid> vm = ParseUuid(vm_uuid); vm.ok()) {
    const MutexLock lock(work_->mutex);
    work_->attested[*vm] = evidence_hash;
  }
}

// One that ran before this host had a ledger: the gate let it in then, and here
// it lives, unless the ledger knows better.
void LedgerHost::TakeUp(const Uuid& vm) {
  {
    const MutexLock lock(work_->mutex);
    if (!work_->taken_up.insert(vm).second) {
      return;
    }
  }
  const auto known = work_->file->FindHome(vm);
  if (known.ok() && *known) {
    return;
  }
  v1::LedgerLaunchDecision entry;
  entry.set_vm_id(outbox::FieldOf(vm));
  entry.set_allowed(true);
  entry.set_reason(std::string(kTakenUp));
  if (const auto queued = work_->box->Launch(entry, false); !queued.ok()) {
    log::Debug("a VM that runs is not on the ledger yet",
               {{"vm", ToString(vm)}, {"why", queued.status().ToString()}});
    const MutexLock lock(work_->mutex);
    work_->taken_up.erase(vm);
  }
}

void LedgerHost::Tick(const std::vector<Looked>& running) {
  std::map<Uuid, Bytes> attested;
  {
    const MutexLock lock(work_->mutex);
    attested = std::exchange(work_->attested, {});
  }
  std::vector<v1::LedgerVmChange> results;
  results.reserve(running.size());
  for (const Looked& looked : running) {
    const absl::StatusOr<Uuid> vm = ParseUuid(looked.vm_uuid);
    if (!vm.ok()) {
      continue;
    }
    TakeUp(*vm);
    v1::LedgerVmChange& result = results.emplace_back();
    result.set_vm_id(outbox::FieldOf(*vm));
    result.set_outcome(looked.as_approved ? v1::LEDGER_OUTCOME_PASS
                                          : v1::LEDGER_OUTCOME_FAIL);
    result.set_check(v1::LEDGER_CHECK_CONFIG);
    result.set_reason(looked.code);
    if (const auto it = attested.find(*vm); it != attested.end()) {
      result.set_evidence_hash(wire::ToField(it->second));
    }
  }
  const absl::StatusOr<bool> queued = work_->box->Tick(std::move(results));
  if (!queued.ok()) {
    log::Error("results of a tick are lost",
               {{"why", queued.status().ToString()}});
  }
  if (!queued.ok() || !*queued) {
    const MutexLock lock(work_->mutex);
    work_->attested.merge(attested);  // newer ones stay
  }
}

void LedgerHost::Compared(const capture::SnapshotResult& result) {
  v1::LedgerAttestResult entry;
  const absl::StatusOr<Uuid> vm = ParseUuid(result.vm_uuid);
  absl::Status queued = vm.status();
  if (vm.ok()) {
    entry.set_vm_id(outbox::FieldOf(*vm));
    entry.set_outcome(result.passed ? v1::LEDGER_OUTCOME_PASS
                                    : v1::LEDGER_OUTCOME_FAIL);
    entry.set_check(v1::LEDGER_CHECK_MEMORY);
    entry.set_reason(result.code);
    entry.set_evidence_hash(
        wire::ToField(Hash(HashAlgorithm::kSha256, result.evidence)));
    entry.set_result_hash(
        wire::ToField(Hash(HashAlgorithm::kSha256, AsBytes(result.ear))));
    queued = work_->box->Result(entry);
  }
  if (!queued.ok()) {
    log::Error("the result of a snapshot is not on the ledger",
               {{"vm", result.vm_uuid}, {"why", queued.ToString()}});
  }
}

std::vector<ops::Metric> LedgerHost::Metrics() {
  std::vector<ops::Metric> all = ToMetrics(work_->box->state());
  if (work_->stack != nullptr) {
    const auto own = verifierd::ToMetrics(work_->stack->node());
    all.insert(all.end(), own.begin(), own.end());
  }
  if (work_->witness != nullptr) {
    all.push_back({"vmattest_ledger_forked",
                   "1: a ledger told this host, as its witness, two stories.",
                   ops::Metric::Type::kGauge,
                   work_->witness->knows_fork() ? 1.0 : 0.0,
                   {}});
  }
  return all;
}

}  // namespace vmattest::daemon
