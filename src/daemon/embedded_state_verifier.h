#ifndef VMATTEST_DAEMON_EMBEDDED_STATE_VERIFIER_H_
#define VMATTEST_DAEMON_EMBEDDED_STATE_VERIFIER_H_

#include <memory>
#include <utility>

#include "capture/state_verifier.h"
#include "daemon/own_host.h"
#include "verification/snapshot_comparer.h"

namespace vmattest::daemon {

// The verifier of this process, asked about this host's snapshots: the same
// baselines and decisions that Baselines and Verifier serve. It protects from
// changes of guests' memory, not from this host's administrator. Callable from
// any thread; blocks on the store.
class EmbeddedStateVerifier final : public capture::StateVerifier {
 public:
  EmbeddedStateVerifier(verification::SnapshotComparer& comparer,
                        verification::HostRegistry& hosts,
                        OwnHost::Identity identity)
      : comparer_(comparer), own_(hosts, std::move(identity)) {}

  // UNAVAILABLE: this host's identity is not known yet.
  absl::StatusOr<std::unique_ptr<Comparison>> Begin(
      const Bytes& evidence, const Bytes& guest_report,
      MonotonicTime deadline) override;

 private:
  verification::SnapshotComparer& comparer_;
  OwnHost own_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_EMBEDDED_STATE_VERIFIER_H_
