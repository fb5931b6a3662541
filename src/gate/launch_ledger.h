#ifndef VMATTEST_GATE_LAUNCH_LEDGER_H_
#define VMATTEST_GATE_LAUNCH_LEDGER_H_

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"
#include "gate/judgement.h"

namespace vmattest::gate {

// The trust ledger, as the launch gate needs it. Callable from any thread.
class LaunchLedger {
 public:
  virtual ~LaunchLedger() = default;

  // Rule S20: a refusal, or nothing to object to a start here. Blocks until
  // `deadline` at most; never calls libvirt.
  virtual std::optional<Judgement> CheckHome(const std::string& vm_uuid,
                                             MonotonicTime deadline) = 0;

  // A decision that is one: a start that was let in, or a refusal.
  struct Decision {
    std::string vm_uuid;
    bool allowed = false;
    std::string mode;  // "enforce", "warn", "learn"
    Basis basis = Basis::kNone;
    std::string code;   // also of a refusal that the mode let through
    Bytes config_root;  // empty: it was not measured
    std::string reference;
    std::string ear;
  };
  // Durable when it returns; an allowed start that makes this host the VM's
  // home is on the ledger then. An error: it is not, and must not count.
  virtual absl::Status Decided(const Decision& decision,
                               MonotonicTime deadline) = 0;

  // What a look at all VMs that were let in and run came to.
  struct Looked {
    std::string vm_uuid;
    bool as_approved = false;
    std::string code;  // why not
  };
  virtual void Tick(const std::vector<Looked>& running) = 0;
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_LAUNCH_LEDGER_H_
