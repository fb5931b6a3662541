#include "outbox/vm_mirror.h"

#include <utility>

#include "ledger/entry.h"
#include "outbox/vm_field.h"

namespace vmattest::outbox {

absl::StatusOr<VmMirror::Vm*> VmMirror::Find(const Uuid& vm,
                                             MonotonicTime deadline) {
  const auto known = vms_.find(vm);
  if (known != vms_.end()) {
    return &known->second;
  }
  absl::StatusOr<LedgerPort::Vm> asked = ledger_.GetVm(vm, deadline);
  if (absl::IsNotFound(asked.status())) {
    return nullptr;
  }
  RETURN_IF_ERROR(asked.status());
  return &vms_.emplace(vm, Vm{.newest = std::move(asked->newest_hash),
                              .home = std::move(asked->home),
                              .running = asked->running})
              .first->second;
}

void VmMirror::NameAll() {
  for (auto& [id, vm] : vms_) {
    vm.passing = false;
  }
}

absl::Status VmMirror::TakeRunning(const std::set<Uuid>& running,
                                   MonotonicTime deadline) {
  for (auto& [id, vm] : vms_) {
    vm.running = running.contains(id);
  }
  for (const Uuid& id : running) {
    RETURN_IF_ERROR(Find(id, deadline).status());
  }
  return absl::OkStatus();
}

void VmMirror::Committed(const v1::LedgerEntryBody& body, const Bytes& hash,
                         const std::string& host, bool late) {
  const auto links = ledger::VmLinks(body);
  if (links.ok()) {
    for (const ledger::VmLink& link : *links) {
      if (const auto it = vms_.find(link.vm); it != vms_.end()) {
        it->second.newest = hash;
      }
    }
  }
  const auto find = [this](const std::string& field) -> Vm* {
    const auto it = vms_.find(VmOf(field));
    return it == vms_.end() ? nullptr : &it->second;
  };
  if (body.has_launch_decision()) {
    if (Vm* const vm = find(body.launch_decision().vm_id())) {
      if (body.launch_decision().allowed()) {
        vm->home = host;
        vm->running = true;
      }
      vm->passing = false;
    }
  } else if (body.has_attest_result()) {
    if (Vm* const vm = find(body.attest_result().vm_id())) {
      vm->passing = false;
    }
  } else if (body.has_attest_batch()) {
    for (const v1::LedgerVmChange& change : body.attest_batch().changes()) {
      if (Vm* const vm = find(change.vm_id())) {
        vm->running =
            vm->running && change.outcome() != v1::LEDGER_OUTCOME_STOPPED;
        vm->passing =
            !late && vm->running && change.outcome() == v1::LEDGER_OUTCOME_PASS;
      }
    }
    if (late) {
      NameAll();
    }
  }
}

}  // namespace vmattest::outbox
