#include "daemon/daemon.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/log.h"
#include "daemon/config_values.h"
#include "daemon/embedded_state_verifier.h"
#include "daemon/owners.h"
#include "fmt/format.h"
#include "inspection/worker/worker_header_parser.h"
#include "ipc/program_path.h"
#include "rpc/client/grpc_launch_verifier.h"
#include "rpc/client/grpc_state_verifier.h"
#include "rpc/client/tls_channel.h"
#include "rpc/grants.h"

namespace vmattest::daemon {
namespace {

using config::DaemonConfig;

constexpr std::chrono::seconds kDrain{5};
constexpr size_t kHashQueue = 256;
constexpr size_t kJournalQueue = 4;
// Of VMs that are started at the same time.
constexpr size_t kStarts = 4;
constexpr size_t kWaitingStarts = 256;
constexpr std::chrono::seconds kEnrollLimit{20};
constexpr std::string_view kVerifierStore = rpc::kVerifierNeeds[0];
// Evidence has up to 16 MiB.
constexpr uint32_t kVerifierMessage = 20u << 20;
// Starts the pool, if it is to be one.
inspection::WorkerInspector::Options InspectorOptions(
    const WorkerSetup& workers,
    std::optional<inspection::WorkerPool>& guestfs) {
  inspection::WorkerInspector::Options options = workers.inspector;
  if (!workers.guestfs.program.empty()) {
    options.guestfs.pool = &guestfs.emplace(workers.guestfs);
  }
  return options;
}

image::HeaderParserFactory HeaderParsers(inspection::WorkerPool& pool) {
  return [&pool] {
    return std::make_unique<inspection::WorkerHeaderParser>(pool);
  };
}

std::map<std::string, std::string> Facts(const kvm::VmProcess& process) {
  return {{"pid", std::to_string(process.id.pid)},
          {"start_ticks", std::to_string(process.id.start_ticks)},
          {"uid", std::to_string(process.uid)},
          {"accelerator", std::string(kvm::ToString(process.accelerator))},
          {"command", process.command}};
}

}  // namespace

Daemon::Owners::Owners(const DaemonConfig& config_in,
                       process::StateDir state_in,
                       signing::SignerConnector connect,
                       const WorkerSetup& workers,
                       std::unique_ptr<inventory::SqliteVmStore> store_in)
    : config(config_in),
      salted(Salted(config)),
      state(std::move(state_in)),
      health(clock),
      sqlite(std::move(store_in)),
      store(*sqlite, health, activity),
      events(config.max_watchers),
      told((health.OnChange(
                [this](std::string_view component, const absl::Status& status) {
                  Told(component, status);
                }),
            true)),
      signer(std::move(connect),
             {.max_pending = config.max_pending_seals,
              .on_state =
                  [this](const signing::SignerState& now) { SignerIs(now); }}),
      journal_pool("journal", 1, kJournalQueue),
      journal({.signer = signer,
               .store = store,
               .work = journal_pool,
               .clock = clock,
               .noted =
                   [this](const std::string& kind, const auto& facts) {
                     if (LedgerHost* const to = told_events) {
                       to->Note(kind, facts);
                     }
                   }},
              JournaledBefore(config, store)),
      recorder(store, events, clock, [this] { journal.Kick(); }),
      hash("hash", HashThreads(config), kHashQueue),
      measure("measure", HashThreads(config), kHashQueue),
      cache(clock, {.enabled = config.digest_cache}),
      files(clock, hash, cache, HashThreads(config)),
      digester(files, activity),
      header_workers(workers.headers),
      disk_workers(workers.disks),
      exporter({.uri = config.libvirt_uri,
                .socket_dir = config.admin_socket.parent_path() / "exports",
                .scratch_dir = config.processes.scratch_dir}),
      inspector(disk_workers, HeaderParsers(header_workers), &exporter,
                InspectorOptions(workers, guestfs_workers)),
      measurer(digester, &measure, &inspector, HeaderParsers(header_workers)),
      libvirt({.uri = config.libvirt_uri}),
      request_pool("request", config.request_threads,
                   config.max_queued_requests),
      requests(request_pool),
      lifecycle_pool("lifecycle", attestor::Lifecycle::kWorkers,
                     attestor::Lifecycle::kWorkers + 1),
      // A task for each watcher of events, and of alerts.
      watch("watch", 1, 2 * (config.max_watchers + 2)),
      attestor(
          {.hypervisor = libvirt,
           .measurer = measurer,
           .signer = signer,
           .store = store,
           .recorder = recorder,
           .requests = requests,
           .clock = clock},
          {.algorithm = config.algorithm,
           .content = ToPolicy(config.content),
           .inside = ToPolicy(config.inside),
           .salted = salted,
           .unmanaged = [this] { return Unmanaged(); },
           .host_log = {.folder = EventLogFolder(config),
                        .log_pcr = static_cast<uint8_t>(config.log_pcr),
                        .pcr_bank = config.pcr_bank,
                        .boot_log = config.boot_log},
           .attested =
               [this](const std::string& vm_uuid, const Bytes& evidence_hash) {
                 if (LedgerHost* const to = told_events) {
                   to->Attested(vm_uuid, evidence_hash);
                 }
               },
           .max_pending = config.max_pending_seals}),
      lifecycle(
          {.hypervisor = libvirt,
           .measurer = measurer,
           .store = store,
           .recorder = recorder,
           .work = lifecycle_pool,
           .clock = clock},
          {.algorithm = config.algorithm,
           .content = ToPolicy(config.content),
           .inside = ToPolicy(config.inside),
           .salted = salted,
           .event_history = config.event_history,
           .on_state =
               [this](const absl::Status& status) { LibvirtIs(status); }}),
      starts("start", kStarts, kWaitingStarts),
      worker_options(workers.disks) {}

// From a thread of the signer's, on each change.
void Daemon::Owners::SignerIs(const signing::SignerState& now) {
  const bool pq_missing =
      now.pq != signing::PqState::kUnsealed && now.pq != signing::PqState::kOff;
  const absl::Status pq =
      pq_missing ? absl::UnavailableError(fmt::format(
                       "{}: {}", signing::ToString(now.pq), now.pq_detail))
                 : absl::OkStatus();
  const bool pq_needed =
      config.signing.post_quantum == config::PostQuantum::kRequired;
  health.Set("tpm", now.tpm.ok() && pq_needed ? pq : now.tpm);
  health.Set("post-quantum", pq);
  if (LedgerHost* const to = told_events) {
    to->SignerIs(now);
  }
  // The journal is younger than the signer, and may not be there yet.
  LogIs(now, absl::OkStatus());
}

// The log itself, and what waits to get into it.
void Daemon::Owners::LogIs(const signing::SignerState& now,
                           const absl::Status& waiting) {
  absl::Status log = Annotate(waiting, "events wait");
  if (!now.log_problem.empty()) {
    log = now.tpm.ok() ? absl::DataLossError(now.log_problem)
                       : absl::UnavailableError(now.log_problem);
  }
  health.Set("event-log", log);
}

void Daemon::Owners::LibvirtIs(const absl::Status& status) {
  const absl::Status before = health.Get("libvirt");
  health.Set("libvirt", status);
  if (status.ok() != before.ok()) {
    journal.Note(status.ok() ? "libvirt-found" : "libvirt-lost",
                 {{"detail", std::string(status.message()).substr(0, 512)}});
  }
  if (status.ok() && !std::exchange(left_overs_ended, true)) {
    const absl::Status queued = requests.Submit([this] {
      const absl::Status ended = exporter.AbortLeftOvers();
      if (!ended.ok()) {
        log::Warning("views of disks from before may be left",
                     {{"why", ended.ToString()}});
      }
    });
    left_overs_ended = queued.ok();
  }
}

absl::Status Daemon::Owners::Watch() {
  if (config.watch_kvm) {
    processes.emplace(
        kvm::LinuxProcessWatch::Options{.libvirt_run_dir =
                                            config.libvirt_run_dir},
        kvm::ProcessWatchObserver{
            .appeared =
                [this](const kvm::VmProcess& process) {
                  log::Warning("a VM runs beside libvirt",
                               {{"pid", std::to_string(process.id.pid)},
                                {"uid", std::to_string(process.uid)},
                                {"command", process.command}});
                  journal.Note("unmanaged-vm", Facts(process));
                },
            .gone =
                [this](const kvm::VmProcess& process) {
                  journal.Note("unmanaged-vm-gone", Facts(process));
                }});
    health.Set("kvm-watch", processes->Health());
  }
  if (config.metrics_address) {
    ASSIGN_OR_RETURN_WITH(
        metrics,
        ops::MetricsServer::Start(*config.metrics_address,
                                  [this] { return Metrics(); }),
        "metrics.address");
  }
  if (const absl::Status left = MakeScratch(config); !left.ok()) {
    log::Warning("disks of running VMs cannot be looked into",
                 {{"why", left.ToString()}});
  }
  return absl::OkStatus();
}

// On a thread of its own: the verifier may be far away.
absl::Status Daemon::Owners::EnrollWith(
    const config::VerifierClient& verifier) {
  ASSIGN_OR_RETURN(
      auto channel,
      rpc::TlsChannel(verifier.address, {.certificate = verifier.certificate,
                                         .private_key = verifier.private_key,
                                         .ca = verifier.ca,
                                         .server_name = verifier.server_name}));
  verifier_channel = channel;
  enroller = std::make_unique<rpc::HostEnroller>(signer, channel, clock);
  remote = std::make_shared<rpc::GrpcLaunchVerifier>(std::move(channel));
  enroll_pool.emplace("enroll", 1, 1);
  return absl::OkStatus();
}

// A verifier of its own folder and keys: for the gate, and, if it is served,
// for whoever has a role with it.
absl::Status Daemon::Owners::OpenVerification() {
  const std::filesystem::path folder = config.state_dir / "verifier";
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  if (!error) {
    std::filesystem::permissions(folder, std::filesystem::perms(0700), error);
  }
  if (error) {
    return ErrnoStatus(error.value(), folder.string());
  }
  RETURN_IF_ERROR(KeepEmbeddedKey(config.state_dir / "gate", folder));
  ASSIGN_OR_RETURN(verification,
                   verifierd::VerificationStack::Open(
                       {.folder = folder,
                        .settings = config.verifier_stack,
                        .max_watchers = config.max_watchers,
                        .watcher_lag = config.watcher_queue,
                        .enrols = config.verification.has_value()},
                       clock));
  health.Set(kVerifierStore, verification->Tick());
  return absl::OkStatus();
}

absl::Status Daemon::Owners::OpenLedger() {
  if (!config.ledger) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(
      ledger,
      LedgerHost::Make(config, {.signer = signer,
                                .requests = requests,
                                .watch = watch,
                                .health = health,
                                .clock = clock,
                                .is_local =
                                    [this](const Uuid& vm) {
                                      return attestor.GetVm(ToString(vm)).ok();
                                    },
                                .event_log = EventLogFolder(config)}));
  told_events = ledger.get();
  return absl::OkStatus();
}

// The configured verifier, or the one that this daemon serves: where nobody can
// put baselines, there are none.
std::unique_ptr<capture::StateVerifier> Daemon::Owners::SnapshotVerifier() {
  if (verifier_channel != nullptr) {
    return std::make_unique<rpc::GrpcStateVerifier>(verifier_channel);
  }
  if (!config.verification) {
    return nullptr;
  }
  return std::make_unique<EmbeddedStateVerifier>(
      verification->comparer(), verification->hosts(),
      [this] { return signer.state().identity; });
}

absl::Status Daemon::Owners::MakeMemory() {
  if (!config.memory.enabled) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(
      memory, MemoryHost::Make(config, {.libvirt = libvirt,
                                        .next = lifecycle,
                                        .signer = signer,
                                        .attestor = attestor,
                                        .requests = requests,
                                        .clock = clock,
                                        .workers = worker_options,
                                        .journal = journal,
                                        .verifier = SnapshotVerifier(),
                                        .ledger = ledger.get(),
                                        .isolating = [this](const Uuid& vm) {
                                          if (gate) {
                                            gate->TellIsolated(vm);
                                          }
                                        }}));
  return absl::OkStatus();
}

hypervisor::HypervisorObserver& Daemon::Owners::ObserverAfterGate() {
  if (memory) {
    return *memory;
  }
  return lifecycle;
}

hypervisor::HypervisorObserver& Daemon::Owners::FirstObserver() {
  if (gate) {
    return *gate;
  }
  return ObserverAfterGate();
}

absl::Status Daemon::Owners::MakeGate() {
  if (!config.gate.enabled) {
    health.Set("gate", absl::OkStatus());
    return absl::OkStatus();
  }
  GateVerifier verifier =
      config.gate.verifier
          ? RemoteVerifier(config.gate, remote)
          : OwnVerifier(config.gate, *verification, signer, clock);
  ASSIGN_OR_RETURN(
      gate,
      GateHost::Make(config, {.hypervisor = libvirt,
                              .next = ObserverAfterGate(),
                              .digester = digester,
                              .hashing = measure,
                              .inspector = &inspector,
                              .make_parser = HeaderParsers(header_workers),
                              .signer = signer,
                              .store = store,
                              .journal = journal,
                              .health = health,
                              .clock = clock,
                              .salted = salted,
                              .unmanaged = [this] { return Unmanaged(); },
                              .verifier = std::move(verifier),
                              .ledger = ledger.get()}));
  return gate->Listen();
}

// What is tried again when time has passed, or is only seen by looking.
void Daemon::Owners::Tick() {
  if (enroll_pool) {
    // If one waits already, that is enough.
    (void)enroll_pool->Submit(
        [this] { health.Set("verifier", enroller->Try(kEnrollLimit)); });
  }
  if (verification) {
    health.Set(kVerifierStore, verification->Tick());
  }
  LogIs(signer.state(), journal.problem());
  journal.Kick();
  if (processes) {
    health.Set("kvm-watch", processes->Health());
  }
  if (ledger) {
    ledger->TellHealth();
  }
  if (gate) {
    gate->Tick();
  }
  if (memory) {
    memory->Tick();
  }
}

// Once, on each change, from the thread that noticed it.
void Daemon::Owners::Told(std::string_view component,
                          const absl::Status& status) {
  if (status.ok()) {
    log::Info("component serving", {{"component", std::string(component)}});
  } else {
    log::Warning(
        "component not serving",
        {{"component", std::string(component)}, {"why", status.ToString()}});
  }
  const MutexLock lock(servers_mutex);
  for (const auto& server : servers) {
    server->Follow(health);
  }
}

absl::Status Daemon::Owners::Listen() {
  const rpc::ServerLimits limits = {
      .max_message_bytes =
          std::max(config.max_message_bytes,
                   config.verification ? kVerifierMessage : uint32_t{0}),
      .reflection = config.reflection};
  ASSIGN_OR_RETURN_WITH(
      auto admin,
      rpc::Server::StartOnSocket(rpc::Listener::kAdminSocket,
                                 config.admin_socket, "", Services(), limits),
      "listen.admin_socket");
  const MutexLock lock(servers_mutex);
  servers.push_back(std::move(admin));
  if (config.read_socket) {
    ASSIGN_OR_RETURN_WITH(auto read,
                          rpc::Server::StartOnSocket(
                              rpc::Listener::kReadSocket, *config.read_socket,
                              config.read_group, Services(), limits),
                          "listen.read_socket");
    servers.push_back(std::move(read));
  }
  if (config.tcp) {
    ASSIGN_OR_RETURN_WITH(const std::vector<rpc::ClientGrant> grants,
                          rpc::ToGrants(config.tcp->clients),
                          "listen.tcp.clients");
    ASSIGN_OR_RETURN_WITH(
        auto tcp,
        rpc::Server::StartOnTcp(config.tcp->address,
                                {.certificate = config.tcp->certificate,
                                 .private_key = config.tcp->private_key,
                                 .client_ca = config.tcp->client_ca},
                                grants, Services(), limits),
        "listen.tcp");
    servers.push_back(std::move(tcp));
  }
  for (const auto& server : servers) {
    server->Follow(health);
  }
  return absl::OkStatus();
}

// Intake first: after that nothing new begins, and what runs is hurried to its
// end, so that the members can go.
void Daemon::Owners::Stop() {
  std::vector<std::unique_ptr<rpc::Server>> stopping;
  {
    const MutexLock lock(servers_mutex);
    stopping.swap(servers);
  }
  rpc::Server::ShutdownAll(stopping, std::chrono::system_clock::now() + kDrain);
  enroll_pool.reset();
  metrics.reset();
  if (gate) {
    gate->StopListening();
  }
  if (memory) {
    memory->Stop();
  }
  libvirt.Stop();
  digester.Stop();
  disk_workers.Stop();
  if (guestfs_workers) {
    guestfs_workers->Stop();
  }
  header_workers.Stop();
  if (ledger) {
    ledger->MarkForRestart();
  }
  signer.Stop();
  starts.Shutdown();
  gate.reset();
  memory.reset();
  processes.reset();
  told_events = nullptr;
}

Daemon::Daemon(std::unique_ptr<Owners> owners) : owners_(std::move(owners)) {}

Daemon::~Daemon() { owners_->Stop(); }

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(
    const DaemonConfig& config) {
  ASSIGN_OR_RETURN_WITH(process::StateDir state,
                        process::StateDir::Open(config.state_dir), "state_dir");
  ASSIGN_OR_RETURN(signing::SignerSetup signer, MakeSignerSetup(config));
  ASSIGN_OR_RETURN_WITH(
      const std::filesystem::path program,
      ipc::FindProgram(config.processes.signer, "vmattest-signer"),
      "processes.signer");
  ASSIGN_OR_RETURN(const WorkerSetup workers, MakeWorkerSetup(config));
  ASSIGN_OR_RETURN_WITH(
      auto store,
      inventory::SqliteVmStore::Open(config.state_dir / "inventory.db"),
      "inventory");
  std::unique_ptr<Daemon> daemon(new Daemon(std::make_unique<Owners>(
      config, std::move(state),
      signing::SpawnSigner(program.string(), std::move(signer)), workers,
      std::move(store))));
  Owners& owners = *daemon->owners_;
  RETURN_IF_ERROR(owners.store.LastSequence().status());
  RETURN_IF_ERROR(owners.Watch());
  if (config.verifier) {
    RETURN_IF_ERROR_WITH(owners.EnrollWith(*config.verifier), "verifier");
  }
  if (config.verification || (config.gate.enabled && !config.gate.verifier)) {
    RETURN_IF_ERROR(owners.OpenVerification());
  }
  RETURN_IF_ERROR(owners.OpenLedger());
  RETURN_IF_ERROR(owners.MakeMemory());
  RETURN_IF_ERROR(owners.Listen());
  RETURN_IF_ERROR(owners.MakeGate());
  RETURN_IF_ERROR(owners.libvirt.Start(owners.FirstObserver()));
  return daemon;
}

void Daemon::Tick() { owners_->Tick(); }

absl::Status Daemon::Reload() {
  absl::Status status = owners_->verification ? owners_->verification->Reload()
                                              : absl::OkStatus();
  if (owners_->gate) {
    status.Update(owners_->gate->Reload());
  }
  return status;
}

std::vector<ops::Watchdog::Subject> Daemon::subjects() {
  const auto moved = [this] {
    return owners_->requests.finished() + owners_->activity.count();
  };
  return {{"request", &owners_->requests, moved},
          {"lifecycle", &owners_->lifecycle_pool, moved},
          {"watch", &owners_->watch, {}},
          {"hash", &owners_->hash, moved},
          {"measure", &owners_->measure, moved}};
}

std::string Daemon::summary() const {
  std::string line;
  for (const std::string_view component : rpc::kAttestationNeeds) {
    const absl::Status status = owners_->health.Get(component);
    line +=
        fmt::format("{}{}: {}", line.empty() ? "" : ", ", component,
                    status.ok() ? "serving" : std::string(status.message()));
  }
  return line;
}

}  // namespace vmattest::daemon
