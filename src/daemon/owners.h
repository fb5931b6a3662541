#ifndef VMATTEST_DAEMON_OWNERS_H_
#define VMATTEST_DAEMON_OWNERS_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attestor/attestor.h"
#include "attestor/journal.h"
#include "attestor/lifecycle.h"
#include "attestor/recorder.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "daemon/daemon.h"
#include "daemon/gate_host.h"
#include "daemon/ledger_host.h"
#include "daemon/memory_host.h"
#include "daemon/observed_ports.h"
#include "daemon/setup.h"
#include "hypervisor/libvirt/libvirt_disk_exporter.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "image/digest_cache.h"
#include "image/file_digester.h"
#include "inspection/worker/worker_inspector.h"
#include "inspection/worker/worker_pool.h"
#include "inventory/sqlite/sqlite_vm_store.h"
#include "kvm/linux/linux_process_watch.h"
#include "measurement/domain_measurer.h"
#include "ops/counted_executor.h"
#include "ops/health.h"
#include "ops/metrics.h"
#include "process/state_dir.h"
#include "rpc/client/host_enroller.h"
#include "rpc/host_services.h"
#include "rpc/server.h"
#include "signing/remote/remote_signer.h"
#include "verifierd/stack.h"

namespace vmattest::daemon {

// The whole daemon. How it lives is in daemon.cc; what it answers to an
// operator, and the services that it serves, in daemon_services.cc.
//
// Each level knows only those above it, so the order of the members is the
// order of life; they go in reverse.
//
//   gRPC servers (admin socket, read socket, TCP)
//     -> attestor, lifecycle                     `request`, `lifecycle`
//          -> signer (a process)                 `signer-send`, `signer-recv`
//          -> libvirt                            `virt-event`, `virt-connect`
//          -> measurer -> digester -> cache      `measure`, `hash`
//               -> workers (processes)           `worker-spawn`
//          -> recorder -> store, event hub       -> watchers on `watch`
//               -> journal -> signer             `journal`
//     process watch -> journal                   `kvm-watch`
//   ledger -> outbox, or a node of its own       `outbox`, `ledger`...
//   launch gate -> measurer's parts, signer      `gate`, `gate-accept`,
//     (also libvirt's events, on to memory)      `gate-look`, `gate-refuse`
//   memory -> libvirt, workers, signer           `snapshot`, `compare`
//     (also libvirt's events, on to lifecycle)
struct Daemon::Owners {
  Owners(const config::DaemonConfig& config_in, process::StateDir state_in,
         signing::SignerConnector connect, const WorkerSetup& workers,
         std::unique_ptr<inventory::SqliteVmStore> store_in);
  absl::Status Listen();
  void Stop();
  void Told(std::string_view component, const absl::Status& status);
  void SignerIs(const signing::SignerState& state);
  void LogIs(const signing::SignerState& now, const absl::Status& waiting);
  void LibvirtIs(const absl::Status& status);
  void Tick();
  absl::Status Watch();
  absl::Status EnrollWith(const config::VerifierClient& verifier);
  absl::Status MakeGate();
  std::unique_ptr<capture::StateVerifier> SnapshotVerifier();
  absl::Status MakeMemory();
  // Whom libvirt's events reach first, and who has them after the gate.
  hypervisor::HypervisorObserver& FirstObserver();
  hypervisor::HypervisorObserver& ObserverAfterGate();
  absl::Status OpenVerification();
  absl::Status OpenLedger();
  [[nodiscard]] rpc::ServiceMaker Services();
  [[nodiscard]] rpc::AdminActions AdminActions();
  [[nodiscard]] uint64_t Unmanaged() const {
    return processes ? processes->Unmanaged().size() : 0;
  }
  absl::StatusOr<rpc::DaemonStatus> Status();
  std::vector<ops::Metric> Metrics();
  absl::StatusOr<SecretBytes> SaltOf(const std::string& vm);
  absl::StatusOr<rpc::VmStart> StartVm(const std::string& vm, bool keep_paused);

  const config::DaemonConfig config;
  const SystemClock clock;
  const WallTime started = clock.Now();
  const std::function<bool(const Uuid&)> salted;
  process::StateDir state;
  Activity activity;
  ops::Health health;

  const std::unique_ptr<inventory::SqliteVmStore> sqlite;
  ObservedVmStore store;
  attestor::EventHub events;

  // Threads report from here on, so what they tell must be there. Stop() takes
  // the servers away before anything that they use goes.
  Mutex servers_mutex;
  std::vector<std::unique_ptr<rpc::Server>> servers GUARDED_BY(servers_mutex);
  const bool told;
  signing::RemoteSigner signer;
  ThreadPool journal_pool;
  attestor::Journal journal;
  attestor::Recorder recorder;

  ThreadPool hash;
  ThreadPool measure;
  image::DigestCache cache;
  image::FileDigester files;
  ObservedDigester digester;
  inspection::WorkerPool header_workers;
  inspection::WorkerPool disk_workers;
  std::optional<inspection::WorkerPool> guestfs_workers;  // if it is there
  hypervisor::LibvirtDiskExporter exporter;
  inspection::WorkerInspector inspector;
  measurement::DomainMeasurer measurer;

  hypervisor::LibvirtHypervisor libvirt;

  // Null: neither served (verification.enabled) nor the gate's.
  std::unique_ptr<verifierd::VerificationStack> verification;

  ThreadPool request_pool;
  ops::CountedExecutor requests;
  ThreadPool lifecycle_pool;
  ThreadPool watch;
  std::optional<kvm::LinuxProcessWatch> processes;
  bool left_overs_ended = false;  // of the thread that tells of libvirt
  attestor::Attestor attestor;
  attestor::Lifecycle lifecycle;
  std::shared_ptr<grpc::Channel> verifier_channel;  // null: none configured
  std::unique_ptr<rpc::HostEnroller> enroller;
  std::shared_ptr<gate::LaunchVerifier> remote;
  std::optional<ThreadPool> enroll_pool;  // gone before what it uses
  std::unique_ptr<LedgerHost> ledger;     // null: it writes to none
  std::atomic<LedgerHost*> told_events = nullptr;
  std::unique_ptr<GateHost> gate;      // null: gate.enabled is not set
  ThreadPool starts;                   // gone before the gate
  std::unique_ptr<MemoryHost> memory;  // null: memory.enabled is not set
  const inspection::WorkerPoolOptions worker_options;

  std::unique_ptr<ops::MetricsServer> metrics;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_OWNERS_H_
