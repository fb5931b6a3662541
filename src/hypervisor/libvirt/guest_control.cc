#include <libvirt/virterror.h>

#include "fmt/format.h"
#include "hypervisor/libvirt/handles.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "hypervisor/libvirt/link.h"

namespace vmattest::hypervisor {

absl::StatusOr<bool> LibvirtHypervisor::TakePause(const Uuid& uuid) {
  const auto pause = pauses_.find(uuid);
  if (pause == pauses_.end()) {
    return absl::NotFoundError("it was not paused");
  }
  const bool stays = pause->second;
  pauses_.erase(pause);
  return stays;
}

absl::StatusOr<bool> LibvirtHypervisor::BeginPause(const Uuid& uuid) {
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const std::string clause = fmt::format("pausing {}", ToString(uuid));
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  int state = 0;
  if (handle == nullptr ||
      virDomainGetState(handle.get(), &state, nullptr, 0) < 0) {
    return link_->Failed(connect, clause);
  }
  const bool ran = state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED;
  if (!ran && state != VIR_DOMAIN_PAUSED) {
    return absl::FailedPreconditionError(clause + ": it does not run");
  }
  {
    const MutexLock lock(pauses_mutex_);
    if (!pauses_.emplace(uuid, !ran).second) {
      return absl::FailedPreconditionError(clause + ": it is paused for this");
    }
  }
  if (ran && virDomainSuspend(handle.get()) < 0) {
    const absl::Status failed = link_->Failed(connect, clause);
    const MutexLock lock(pauses_mutex_);
    pauses_.erase(uuid);
    return failed;
  }
  return ran;
}

absl::Status LibvirtHypervisor::EndPause(const Uuid& uuid) {
  const std::string clause = fmt::format("resuming {}", ToString(uuid));
  // Held over the call: a Suspend() comes before it, and is seen, or after it.
  const MutexLock lock(pauses_mutex_);
  ASSIGN_OR_RETURN_WITH(const bool stays, TakePause(uuid), clause);
  if (stays) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  if (handle == nullptr || virDomainResume(handle.get()) < 0) {
    return link_->Failed(connect, clause);
  }
  return absl::OkStatus();
}

absl::Status LibvirtHypervisor::PeekMemory(const Uuid& uuid, uint64_t address,
                                           std::span<uint8_t> buffer) {
  const std::string clause =
      fmt::format("memory of {} at {:#x}", ToString(uuid), address);
  if (buffer.empty() || buffer.size() > kMaxPeek) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} bytes at a time", clause, buffer.size()));
  }
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  if (handle == nullptr ||
      virDomainMemoryPeek(handle.get(), address, buffer.size(), buffer.data(),
                          VIR_MEMORY_PHYSICAL) < 0) {
    return link_->Failed(connect, clause);
  }
  return absl::OkStatus();
}

// Nobody's EndPause() may undo it.
void LibvirtHypervisor::KeepPaused(const Uuid& uuid) {
  const MutexLock lock(pauses_mutex_);
  if (const auto pause = pauses_.find(uuid); pause != pauses_.end()) {
    pause->second = true;
  }
}

}  // namespace vmattest::hypervisor
