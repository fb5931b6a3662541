#include "hypervisor/hypervisor.h"

namespace vmattest::hypervisor {

std::string_view ToString(DomainState state) {
  switch (state) {
    case DomainState::kRunning:
      return "running";
    case DomainState::kPaused:
      return "paused";
    case DomainState::kShutoff:
      return "shutoff";
    case DomainState::kCrashed:
      return "crashed";
    case DomainState::kSuspended:
      return "suspended";
  }
  return "unknown";
}

bool IsActive(DomainState state) {
  return state != DomainState::kShutoff && state != DomainState::kCrashed;
}

std::string_view ToString(LifecycleKind kind) {
  switch (kind) {
    case LifecycleKind::kDefined:
      return "defined";
    case LifecycleKind::kUndefined:
      return "undefined";
    case LifecycleKind::kStarted:
      return "started";
    case LifecycleKind::kSuspended:
      return "suspended";
    case LifecycleKind::kResumed:
      return "resumed";
    case LifecycleKind::kStopped:
      return "stopped";
    case LifecycleKind::kCrashed:
      return "crashed";
  }
  return "unknown";
}

void HypervisorObserver::OnChange(const Uuid&) {}

void HypervisorObserver::OnReset(const Uuid&) {}

}  // namespace vmattest::hypervisor
