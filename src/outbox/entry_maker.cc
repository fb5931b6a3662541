#include "outbox/entry_maker.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "fmt/format.h"
#include "ledger/entry.h"
#include "ledger/reason_codes.h"
#include "outbox/vm_field.h"
#include "wire/messages.h"

namespace vmattest::outbox {
namespace {

// Leaves room for what is around the changes of a batch.
constexpr size_t kMaxChangesSize = ledger::kMaxEntrySize - 2'048;

bool IsBad(const v1::LedgerVmChange& change) {
  return change.outcome() != v1::LEDGER_OUTCOME_PASS;
}

// Named although the ledger passes it by itself: its evidence is to be found.
bool HasEvidence(const v1::LedgerVmChange& change) {
  return !change.evidence_hash().empty();
}

}  // namespace

absl::StatusOr<std::optional<Reason>> EntryMaker::LinkVm(
    const std::string& vm_id, MonotonicTime deadline, std::string& previous) {
  const Uuid vm = VmOf(vm_id);
  ASSIGN_OR_RETURN(const VmMirror::Vm* const known, mirror_.Find(vm, deadline));
  if (known == nullptr) {
    return Reason{std::string(ledger::reason::kVmUnknown), ToString(vm),
                  "a registered VM", "nobody registered it"};
  }
  previous = wire::ToField(known->newest);
  return std::nullopt;
}

// Queued are all results; signed is what the ledger does not know by itself.
absl::Status EntryMaker::FillBatch(const std::string& host_id, uint64_t tick,
                                   MonotonicTime deadline,
                                   v1::LedgerAttestBatch& batch) {
  std::set<Uuid> seen;
  std::vector<v1::LedgerVmChange> named;
  for (v1::LedgerVmChange& change : *batch.mutable_changes()) {
    const Uuid id = VmOf(change.vm_id());
    seen.insert(id);
    ASSIGN_OR_RETURN(const VmMirror::Vm* const vm, mirror_.Find(id, deadline));
    if (vm == nullptr || vm->home != host_id) {
      continue;  // not this host's to tell of
    }
    if (IsBad(change) || HasEvidence(change) || !vm->passing) {
      change.set_vm_previous(wire::ToField(vm->newest));
      named.push_back(change);
    }
  }
  for (const auto& [id, vm] : mirror_.vms()) {
    if (vm.running && vm.home == host_id && !seen.contains(id)) {
      v1::LedgerVmChange& stopped = named.emplace_back();
      stopped.set_vm_id(FieldOf(id));
      stopped.set_outcome(v1::LEDGER_OUTCOME_STOPPED);
      stopped.set_vm_previous(wire::ToField(vm.newest));
    }
  }
  // What does not fit is named by the next batch; never a failure.
  std::stable_partition(named.begin(), named.end(), IsBad);
  size_t size = 0;
  size_t fit = 0;
  while (fit < named.size() &&
         (size += named[fit].ByteSizeLong() + 4) <= kMaxChangesSize) {
    ++fit;
  }
  named.resize(fit);
  std::sort(named.begin(), named.end(),
            [](const auto& a, const auto& b) { return a.vm_id() < b.vm_id(); });
  std::set<Uuid> names;
  batch.clear_changes();
  for (v1::LedgerVmChange& change : named) {
    names.insert(VmOf(change.vm_id()));
    *batch.add_changes() = std::move(change);
  }
  batch.set_unchanged(static_cast<uint32_t>(std::count_if(
      mirror_.vms().begin(), mirror_.vms().end(), [&](const auto& known) {
        return known.second.passing && !names.contains(known.first);
      })));
  batch.set_tick(tick);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Reason>> EntryMaker::Link(
    const std::string& host_id, MonotonicTime deadline,
    v1::LedgerEntryBody& body) {
  if (body.has_launch_decision()) {
    auto& message = *body.mutable_launch_decision();
    return LinkVm(message.vm_id(), deadline, *message.mutable_vm_previous());
  }
  if (body.has_notice() && !body.notice().vm_id().empty()) {
    auto& message = *body.mutable_notice();
    return LinkVm(message.vm_id(), deadline, *message.mutable_vm_previous());
  }
  if (body.has_attest_result()) {
    auto& message = *body.mutable_attest_result();
    ASSIGN_OR_RETURN(
        std::optional<Reason> refused,
        LinkVm(message.vm_id(), deadline, *message.mutable_vm_previous()));
    const Uuid vm = VmOf(message.vm_id());
    if (!refused && mirror_.vms().at(vm).home != host_id) {
      refused = Reason{std::string(ledger::reason::kVmHome), ToString(vm),
                       mirror_.vms().at(vm).home, host_id};
    }
    return refused;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Reason>> EntryMaker::Make(
    const std::string& host_id, const OutboxFile::Written& last, uint64_t tick,
    const std::optional<TpmClock>& now, MonotonicTime deadline,
    OutboxFile::Queued& queued) {
  v1::LedgerEntryBody& body = queued.body;
  ASSIGN_OR_RETURN(std::optional<Reason> refused,
                   Link(host_id, deadline, body));
  if (refused) {
    return refused;
  }
  if (body.has_attest_batch()) {
    RETURN_IF_ERROR(
        FillBatch(host_id, tick, deadline, *body.mutable_attest_batch()));
  }
  body.set_log(origin_);
  body.set_host_id(host_id);
  body.set_sequence(last.sequence + 1);
  body.set_previous(wire::ToField(last.hash));
  body.set_time_unix_ms(queued.time_ms);
  if (now) {
    *body.mutable_clock() = wire::ToMessage(*now);
  }
  queued.entry = ledger::SignHostEntry(body, *key_);
  const absl::StatusOr<ledger::Entry> parsed = ledger::ParseEntry(queued.entry);
  if (!parsed.ok()) {
    return Reason{std::string(ledger::reason::kMalformed), "entry", "",
                  std::string(parsed.status().message())};
  }
  queued.sequence = body.sequence();
  queued.hash = parsed->hash;
  return std::nullopt;
}

}  // namespace vmattest::outbox
