#ifndef VMATTEST_HYPERVISOR_HYPERVISOR_H_
#define VMATTEST_HYPERVISOR_HYPERVISOR_H_

#include <cstdint>
#include <string>
#include <string_view>
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

// True for a domain that has a hypervisor process, whose definition is live.
bool IsActive(DomainState state);

// The XML that describes a domain as it is: of an active domain the live
// definition, else the stored one. Without secrets.
struct DomainXml {
  std::string xml;
  bool live = false;
  // Of an active persistent domain also the stored definition, which has what
  // the live one hides (a host-model CPU as it was defined); else empty.
  std::string inactive_xml;
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
  bool saved = false;  // kStopped: because its memory was saved
};

// The domains of one hypervisor connection. Calls block on the hypervisor and
// may be made from any thread but the adapter's own, any number at once.
//   UNAVAILABLE: not connected, or the connection was lost meanwhile.
//   NOT_FOUND: no such domain. PERMISSION_DENIED: libvirt's access control.
class Hypervisor {
 public:
  virtual ~Hypervisor() = default;
  virtual absl::StatusOr<std::vector<Domain>> ListDomains() = 0;
  virtual absl::StatusOr<Domain> FindDomain(const Uuid& uuid) = 0;
  virtual absl::StatusOr<Domain> FindDomainByName(const std::string& name) = 0;
  virtual absl::StatusOr<DomainXml> GetXml(const Uuid& uuid) = 0;
  // The command line, quoted for a shell, with which a domain defined by `xml`
  // would be started now; nothing is started or kept. INVALID_ARGUMENT,
  // FAILED_PRECONDITION, NOT_FOUND, UNIMPLEMENTED and the like: it could not
  // be started, or the hypervisor has no such command lines.
  virtual absl::StatusOr<std::string> StartCommand(const std::string& xml) = 0;
  // Starts a defined domain, from its saved memory if it has any, and leaves
  // its vCPUs stopped: when this returns not one instruction has run. Takes as
  // long as the hypervisor's hooks. FAILED_PRECONDITION: it runs already.
  // Others: why it did not start, a hook's refusal among them.
  virtual absl::Status StartPaused(const Uuid& uuid) = 0;
  // Lets stopped vCPUs go on; OK also if they do. FAILED_PRECONDITION: the
  // domain does not run.
  virtual absl::Status Resume(const Uuid& uuid) = 0;
  // Ends a domain at once, without asking the guest. FAILED_PRECONDITION: it
  // does not run.
  virtual absl::Status Destroy(const Uuid& uuid) = 0;
  // Stops the domain's vCPUs until somebody resumes it; OK also if they are
  // stopped already. FAILED_PRECONDITION: it does not run.
  virtual absl::Status Suspend(const Uuid& uuid) = 0;
  // Changes one device of a running domain to what `device_xml` says of it, in
  // the running domain alone. FAILED_PRECONDITION: it does not run, or the
  // hypervisor changes no devices; others: it would not.
  virtual absl::Status UpdateDevice(const Uuid& uuid,
                                    const std::string& device_xml) = 0;
  // What was done to the running domain past the hypervisor's own API, in the
  // hypervisor's words ("tainted: custom monitor control commands issued");
  // its definition may cause some from the start. Empty if it does not run.
  // FAILED_PRECONDITION: the hypervisor does not tell.
  virtual absl::StatusOr<std::vector<std::string>> GetTaints(
      const Uuid& uuid) = 0;
};

// What a hypervisor tells on its own. Called from the adapter's own threads,
// never two calls at once: hand over and return, never call the hypervisor
// back.
class HypervisorObserver {
 public:
  virtual ~HypervisorObserver() = default;
  // After each (re)connection; what happened before it may be lost: reconcile.
  virtual void OnConnected() = 0;
  // Once for each lost connection, and once if the first attempt fails; the
  // adapter goes on trying by itself.
  virtual void OnDisconnected(const absl::Status& why) = 0;
  virtual void OnLifecycle(const LifecycleEvent& event) = 0;
  // Something of a running domain was changed: a device, a medium, a block job,
  // a tunable. Not every change is told, and what is told may change nothing:
  // look. Who does not care leaves it.
  virtual void OnChange(const Uuid& uuid);
  // A running domain was reset, by its guest or from outside: in the same
  // process another boot begins. Who does not care leaves it.
  virtual void OnReset(const Uuid& uuid);
};

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_HYPERVISOR_H_
