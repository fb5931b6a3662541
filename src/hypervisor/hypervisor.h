#ifndef VMATTEST_HYPERVISOR_HYPERVISOR_H_
#define VMATTEST_HYPERVISOR_HYPERVISOR_H_

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/uuid.h"

namespace vmattest::hypervisor {

enum class DomainState : uint8_t {
  kRunning,
  kPaused,
  kShutoff,
  kCrashed,
  kSuspended,  // guest power management
};
std::string_view ToString(DomainState state);

struct Domain {
  Uuid uuid;
  std::string name;
  DomainState state = DomainState::kShutoff;
  bool persistent = false;
};

// The XML that describes a domain as it is: of a running domain the live
// definition, else the stored one. Without secrets.
struct DomainXml {
  std::string xml;
  bool live = false;
};

enum class LifecycleKind : uint8_t {
  kDefined,
  kUndefined,
  kStarted,
  kSuspended,
  kResumed,
  kStopped,
  kCrashed,
};
std::string_view ToString(LifecycleKind kind);

struct LifecycleEvent {
  Uuid uuid;
  std::string name;
  LifecycleKind kind = LifecycleKind::kDefined;
};

// The domains of one hypervisor connection. Calls block on the hypervisor and
// are made from the `virt-call` threads; any number at once.
//   UNAVAILABLE: not connected. NOT_FOUND: no such domain.
class Hypervisor {
 public:
  virtual ~Hypervisor() = default;
  virtual absl::StatusOr<std::vector<Domain>> ListDomains() = 0;
  virtual absl::StatusOr<Domain> FindDomain(const Uuid& uuid) = 0;
  virtual absl::StatusOr<DomainXml> GetXml(const Uuid& uuid) = 0;
};

// What a hypervisor tells on its own. Called from the `virt-event` thread:
// hand over and return, never call the hypervisor back.
class HypervisorObserver {
 public:
  virtual ~HypervisorObserver() = default;
  // After each (re)connection; events before it may be lost: reconcile.
  virtual void OnConnected() = 0;
  virtual void OnDisconnected(const absl::Status& why) = 0;
  virtual void OnLifecycle(const LifecycleEvent& event) = 0;
};

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_HYPERVISOR_H_
