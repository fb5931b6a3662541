#ifndef VMATTEST_DAEMON_GUEST_HOST_H_
#define VMATTEST_DAEMON_GUEST_HOST_H_

#include <memory>
#include <vector>

#include "attestor/journal.h"
#include "base/executor.h"
#include "capture/capturer.h"
#include "config/daemon_config.h"
#include "guestchannel/channels.h"
#include "guestchannel/desk.h"
#include "guestchannel/worker/worker_request_parser.h"
#include "hypervisor/hypervisor.h"
#include "inspection/worker/worker_pool.h"
#include "ops/metrics.h"

namespace vmattest::daemon {

// Everything that listens to guests' agents in one daemon. Owns the threads
// `guest` and `guest-channel`. Main thread, but for what is said.
class GuestHost {
 public:
  // All outlive it.
  struct Parts {
    hypervisor::Hypervisor& libvirt;
    const Clock& clock;
    attestor::Journal& journal;
  };
  // Guests are listened to from then on. `workers` says who reads what they
  // send. `capturer` must be gone before the object, and not before Stop().
  // INVALID_ARGUMENT "policies[1]: ...": one that this host does not have.
  static absl::StatusOr<std::unique_ptr<GuestHost>> Make(
      const config::MemoryConfig::GuestRequests& config, const Parts& parts,
      inspection::WorkerPoolOptions workers, capture::Capturer& capturer);
  GuestHost(const GuestHost&) = delete;
  GuestHost& operator=(const GuestHost&) = delete;
  // Stops.
  ~GuestHost() { Stop(); }

  // Nobody is listened to any more. Idempotent.
  void Stop();
  // Any thread.
  [[nodiscard]] std::vector<ops::Metric> Metrics() const;

 private:
  GuestHost(const config::MemoryConfig::GuestRequests& config,
            const Parts& parts, inspection::WorkerPoolOptions workers,
            capture::Capturer& capturer);

  inspection::WorkerPool pool_;
  guestchannel::WorkerRequestParser parser_;
  ThreadPool threads_;
  guestchannel::Desk desk_;
  guestchannel::Channels channels_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_GUEST_HOST_H_
