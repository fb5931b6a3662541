#ifndef VMATTEST_DAEMON_MEMORY_HOST_H_
#define VMATTEST_DAEMON_MEMORY_HOST_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attestor/attestor.h"
#include "attestor/journal.h"
#include "base/executor.h"
#include "capture/boot_count.h"
#include "capture/capturer.h"
#include "capture/comparer.h"
#include "capture/scheduler.h"
#include "config/daemon_config.h"
#include "daemon/guest_host.h"
#include "daemon/ledger_host.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "inspection/worker/worker_pool.h"
#include "memory/worker/worker_measurer.h"
#include "ops/metrics.h"
#include "rpc/memory_service.h"

namespace vmattest::daemon {

// Everything that measures guests' memory in one daemon, has it compared, and
// reacts; also when guests ask for it. Owns the threads `snapshot` and
// `compare`. Main thread, but for what is said.
class MemoryHost final : public hypervisor::HypervisorObserver {
 public:
  // All outlive it.
  struct Parts {
    hypervisor::LibvirtHypervisor& libvirt;
    hypervisor::HypervisorObserver& next;  // is told all that this one is
    signing::Signer& signer;
    attestor::Attestor& attestor;
    Executor& requests;
    const Clock& clock;
    inspection::WorkerPoolOptions workers;  // whose user is taken
    attestor::Journal& journal;
    // Who compares snapshots; null: nobody does.
    std::unique_ptr<capture::StateVerifier> verifier;
    LedgerHost* ledger = nullptr;                   // null: none
    std::function<void(const Uuid& vm)> isolating;  // as the Reactor's
  };
  // Errors name the key: a policy that is none, a program that is missing.
  static absl::StatusOr<std::unique_ptr<MemoryHost>> Make(
      const config::DaemonConfig& config, Parts parts);
  MemoryHost(const MemoryHost&) = delete;
  MemoryHost& operator=(const MemoryHost&) = delete;
  // After Stop(), and while the signer answers.
  ~MemoryHost() override = default;

  [[nodiscard]] rpc::ServiceMaker Services();
  void Tick() { scheduler_.Tick(); }
  // Ends what runs; nothing begins any more. Idempotent.
  void Stop();
  // Any thread.
  [[nodiscard]] std::vector<ops::Metric> Metrics() const;

  void OnConnected() override;
  void OnDisconnected(const absl::Status& why) override;
  void OnLifecycle(const hypervisor::LifecycleEvent& event) override;
  void OnChange(const Uuid& uuid) override;
  void OnReset(const Uuid& uuid) override;

 private:
  struct Programs {
    std::string worker;
    std::string guard;
  };
  MemoryHost(const config::DaemonConfig& config, Parts parts,
             const Programs& programs, std::vector<snapshot::Policy> policies);
  std::unique_ptr<capture::Comparer> MakeComparer(LedgerHost* ledger);

  hypervisor::HypervisorObserver& next_;
  Executor& requests_;
  const Clock& clock_;
  inspection::WorkerPool pool_;
  memory::WorkerMeasurer measurer_;
  capture::BootCount boots_;
  capture::SnapshotStore store_;
  const std::unique_ptr<capture::StateVerifier> verifier_;
  capture::Reactor reactor_;
  ThreadPool compare_;
  std::unique_ptr<capture::Comparer> comparer_;  // null: no verifier
  ThreadPool threads_;
  std::unique_ptr<GuestHost> guests_;  // null: they may not ask
  capture::Capturer capturer_;
  capture::Scheduler scheduler_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_MEMORY_HOST_H_
