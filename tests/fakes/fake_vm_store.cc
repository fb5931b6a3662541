#include "fakes/fake_vm_store.h"

#include <algorithm>

namespace vmattest::testing {

using inventory::EventRecord;
using inventory::VmRecord;

absl::StatusOr<uint64_t> FakeVmStore::Record(const VmRecord& vm,
                                             const EventRecord& event) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  vms_[vm.uuid] = vm;
  events_.push_back(event);
  events_.back().sequence = ++last_sequence_;
  return last_sequence_;
}

absl::StatusOr<std::optional<VmRecord>> FakeVmStore::Find(const Uuid& uuid) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const auto found = vms_.find(uuid);
  return found == vms_.end() ? std::nullopt : std::optional(found->second);
}

absl::StatusOr<std::vector<VmRecord>> FakeVmStore::List(
    const std::optional<Uuid>& after, size_t limit) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<VmRecord> vms;
  for (auto vm = after ? vms_.upper_bound(*after) : vms_.begin();
       vm != vms_.end() && vms.size() < limit; ++vm) {
    vms.push_back(vm->second);
  }
  return vms;
}

absl::StatusOr<std::vector<EventRecord>> FakeVmStore::Events(
    uint64_t after_sequence, size_t limit) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<EventRecord> events;
  for (const EventRecord& event : events_) {
    if (event.sequence > after_sequence && events.size() < limit) {
      events.push_back(event);
    }
  }
  return events;
}

absl::StatusOr<uint64_t> FakeVmStore::LastSequence() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  return last_sequence_;
}

absl::StatusOr<SecretBytes> FakeVmStore::Salt(const Uuid& uuid) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const auto next = static_cast<uint8_t>(salts_.size() + 1);
  const auto salt = salts_.try_emplace(uuid, Bytes(32, next)).first;
  return SecretBytes(Bytes(salt->second));
}

absl::Status FakeVmStore::Trim(size_t keep) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  while (events_.size() > keep) {
    events_.pop_front();
  }
  for (auto vm = vms_.begin(); vm != vms_.end();) {
    const bool kept = vm->second.state != "undefined" ||
                      std::any_of(events_.begin(), events_.end(),
                                  [&](const EventRecord& event) {
                                    return event.uuid == vm->first;
                                  });
    vm = kept ? std::next(vm) : vms_.erase(vm);
  }
  return absl::OkStatus();
}

void FakeVmStore::FailWith(const absl::Status& status) {
  const MutexLock lock(mutex_);
  failure_ = status;
}

}  // namespace vmattest::testing
