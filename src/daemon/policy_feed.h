#ifndef VMATTEST_DAEMON_POLICY_FEED_H_
#define VMATTEST_DAEMON_POLICY_FEED_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/status.h"
#include "gate/launch_verifier.h"
#include "gate/policy_store.h"

namespace vmattest::daemon {

// Keeps the gate's policy as the verifier holds it for this host: references,
// break-glass orders, revocation epoch. On a thread of its own, because the
// verifier may be far away and silent. Callable from any thread.
class PolicyFeed {
 public:
  struct Parts {
    gate::LaunchVerifier& verifier;
    gate::PolicyStore& policy;
    // UUIDs of the VMs that are defined here; may block.
    std::function<std::vector<std::string>()> defined;
    // Each time that it has asked; must not block.
    std::function<void()> asked;
    const Clock& clock;
  };
  explicit PolicyFeed(Parts parts) : parts_(std::move(parts)) {}
  PolicyFeed(const PolicyFeed&) = delete;
  PolicyFeed& operator=(const PolicyFeed&) = delete;

  // Asks now; blocks for ten seconds at most, beside `defined`. One at a time.
  void Ask() EXCLUDES_LOCK(mutex_);
  // Asks soon. Never blocks.
  void Kick();
  // A VM that is started here and that no reference names: asks about it soon,
  // and from then on. Never blocks.
  void Want(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  // How the last time went.
  [[nodiscard]] absl::Status status() const EXCLUDES_LOCK(mutex_);
  // Waits for what is under way; nothing is asked after that.
  void Stop() { pool_.Shutdown(); }

 private:
  [[nodiscard]] std::vector<std::string> Vms() EXCLUDES_LOCK(mutex_);

  const Parts parts_;
  mutable Mutex mutex_;
  std::set<std::string> wanted_ GUARDED_BY(mutex_);
  absl::Status status_ GUARDED_BY(mutex_) =
      absl::UnavailableError("the verifier has not been asked yet");
  // One that runs and one that waits: whoever kicks is heard after it.
  ThreadPool pool_{"gate-policy", 1, 1};
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_POLICY_FEED_H_
