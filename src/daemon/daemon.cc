#include "daemon/daemon.h"

#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "attestor/attestor.h"
#include "attestor/lifecycle.h"
#include "attestor/recorder.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "daemon/observed_ports.h"
#include "daemon/state_dir.h"
#include "fmt/format.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "image/digest_cache.h"
#include "image/file_digester.h"
#include "inventory/sqlite/sqlite_vm_store.h"
#include "measurement/domain_measurer.h"
#include "ops/counted_executor.h"
#include "ops/health.h"
#include "rpc/server.h"
#include "sealing/sealer.h"
#include "tpm/esys/esys_host_tpm.h"

namespace vmattest::daemon {
namespace {

using config::DaemonConfig;

constexpr std::chrono::seconds kDrain{5};
constexpr size_t kHashQueue = 256;

measurement::ContentPolicy ToPolicy(config::Content content) {
  switch (content) {
    case config::Content::kFull:
      return measurement::ContentPolicy::kFull;
    case config::Content::kChain:
      return measurement::ContentPolicy::kChain;
    case config::Content::kNone:
      return measurement::ContentPolicy::kNone;
  }
  return measurement::ContentPolicy::kFull;
}

std::string Hostname() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

size_t HashThreads(const DaemonConfig& config) {
  return config.hash_threads != 0
             ? config.hash_threads
             : std::max(1u, std::thread::hardware_concurrency());
}

absl::StatusOr<tpm::EsysHostTpmOptions> TpmOptions(const DaemonConfig& config) {
  tpm::EsysHostTpmOptions options;
  options.tcti = config.tcti;
  options.pcrs = config.pcrs;
  options.pcr_bank = config.pcr_bank;
  options.persistent_handle_base = config.persistent_handle_base;
  options.pin_file = config.state_dir / "tpm-pin.json";
  options.hostname = Hostname();
  ASSIGN_OR_RETURN_WITH(
      options.key_auth,
      LoadKeyAuth(config.key_auth_file, config.create_key_auth),
      "tpm.key_auth_file");
  if (config.owner_auth_file) {
    ASSIGN_OR_RETURN_WITH(options.owner_auth,
                          LoadAuthValue(*config.owner_auth_file),
                          "tpm.owner_auth_file");
  }
  if (config.endorsement_auth_file) {
    ASSIGN_OR_RETURN_WITH(options.endorsement_auth,
                          LoadAuthValue(*config.endorsement_auth_file),
                          "tpm.endorsement_auth_file");
  }
  return options;
}

std::vector<rpc::ClientGrant> ToGrants(
    const std::vector<config::ClientGrant>& clients) {
  std::vector<rpc::ClientGrant> grants;
  for (const config::ClientGrant& client : clients) {
    grants.push_back({client.identity,
                      client.role == config::Role::kAdmin ? rpc::Role::kAdmin
                                                          : rpc::Role::kRead,
                      client.all_vms,
                      {client.vms.begin(), client.vms.end()}});
  }
  return grants;
}

}  // namespace

// Each level knows only those above it, so the order of the members is the
// order of life; they go in reverse.
//
//   gRPC servers (admin socket, read socket, TCP)
//     -> attestor, lifecycle                     `request`, `lifecycle`
//          -> sealer -> host TPM                 `tpm`
//          -> libvirt                            `virt-event`, `virt-connect`
//          -> measurer -> digester -> cache      `measure`, `hash`
//          -> recorder -> store, event hub       -> watchers on `watch`
struct Daemon::Owners {
  Owners(const DaemonConfig& config_in, StateDir state_in,
         tpm::EsysHostTpmOptions tpm_options,
         std::unique_ptr<inventory::SqliteVmStore> store_in);
  absl::Status Listen();
  void Stop();
  void Told(std::string_view component, const absl::Status& status);
  [[nodiscard]] rpc::Server::Services Services();
  absl::StatusOr<rpc::DaemonStatus> Status();

  const DaemonConfig config;
  const SystemClock clock;
  const WallTime started = clock.Now();
  StateDir state;
  Activity activity;
  ops::Health health;
  tpm::EsysHostTpm tpm;

  const std::unique_ptr<inventory::SqliteVmStore> sqlite;
  ObservedVmStore store;
  attestor::EventHub events;
  attestor::Recorder recorder;

  ThreadPool hash;
  ThreadPool measure;
  image::DigestCache cache;
  image::FileDigester files;
  ObservedDigester digester;
  measurement::DomainMeasurer measurer;

  sealing::Sealer sealer;
  hypervisor::LibvirtHypervisor libvirt;

  ThreadPool request_pool;
  ops::CountedExecutor requests;
  ThreadPool lifecycle_pool;
  ThreadPool watch;
  attestor::Attestor attestor;
  attestor::Lifecycle lifecycle;

  Mutex servers_mutex;  // health changes come from other threads
  std::vector<std::unique_ptr<rpc::Server>> servers GUARDED_BY(servers_mutex);
};

Daemon::Owners::Owners(const DaemonConfig& config_in, StateDir state_in,
                       tpm::EsysHostTpmOptions tpm_options,
                       std::unique_ptr<inventory::SqliteVmStore> store_in)
    : config(config_in),
      state(std::move(state_in)),
      health(clock),
      tpm(std::move(tpm_options)),
      sqlite(std::move(store_in)),
      store(*sqlite, health, activity),
      events(config.max_watchers),
      recorder(store, events, clock),
      hash("hash", HashThreads(config), kHashQueue),
      measure("measure", HashThreads(config), kHashQueue),
      cache(clock, {.enabled = config.digest_cache}),
      files(clock, hash, cache, HashThreads(config)),
      digester(files, activity),
      measurer(digester, &measure),
      // The listener must be there before the sealer's thread is.
      sealer((health.OnChange([this](std::string_view component,
                                     const absl::Status& status) {
               Told(component, status);
             }),
              tpm),
             clock, config.max_pending_seals,
             [this](const absl::Status& status) { health.Set("tpm", status); }),
      libvirt({.uri = config.libvirt_uri}),
      request_pool("request", config.request_threads,
                   config.max_queued_requests),
      requests(request_pool),
      lifecycle_pool("lifecycle", attestor::Lifecycle::kWorkers,
                     attestor::Lifecycle::kWorkers + 1),
      watch("watch", 1, config.max_watchers + 2),
      attestor({.hypervisor = libvirt,
                .measurer = measurer,
                .sealer = sealer,
                .store = store,
                .recorder = recorder,
                .requests = requests,
                .clock = clock},
               {.algorithm = config.algorithm,
                .content = ToPolicy(config.content),
                .max_pending = config.max_pending_seals}),
      lifecycle({.hypervisor = libvirt,
                 .measurer = measurer,
                 .store = store,
                 .recorder = recorder,
                 .work = lifecycle_pool,
                 .clock = clock},
                {.algorithm = config.algorithm,
                 .content = ToPolicy(config.content),
                 .event_history = config.event_history,
                 .on_state = [this](const absl::Status& status) {
                   health.Set("libvirt", status);
                 }}) {}

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

absl::StatusOr<rpc::DaemonStatus> Daemon::Owners::Status() {
  rpc::DaemonStatus status;
  status.version = VMATTEST_VERSION;
  status.started_unix_ms = started.time_since_epoch().count();
  const auto components = health.All();
  for (const std::string_view name : rpc::kAttestationNeeds) {
    const auto it = components.find(name);
    if (it == components.end()) {
      status.components.push_back({std::string(name), false,
                                   "has not reported yet",
                                   status.started_unix_ms});
    } else {
      status.components.push_back(
          {std::string(name), it->second.status.ok(),
           std::string(it->second.status.message()),
           it->second.since.time_since_epoch().count()});
    }
  }
  if (const auto domains = libvirt.ListDomains(); domains.ok()) {
    status.vms = domains->size();
  }
  const sealing::SealerStats seals = sealer.stats();
  status.pending_seals = seals.pending;
  status.quotes_made = seals.quotes;
  status.envelopes_sealed = seals.sealed;
  const image::DigestCache::Counters digests = cache.counters();
  status.digest_cache_entries = digests.entries;
  status.digest_cache_hits = digests.hits;
  status.digest_cache_misses = digests.misses;
  return status;
}

rpc::Server::Services Daemon::Owners::Services() {
  return {.attestation = {.attestor = attestor,
                          .requests = requests,
                          .events = {.events = events,
                                     .store = store,
                                     .watch = watch,
                                     .queue = config.watcher_queue},
                          .clock = clock,
                          .defaults = {.algorithm = config.algorithm,
                                       .content = ToPolicy(config.content)}},
          .admin = {.status = [this] { return Status(); },
                    .reconcile = [this] { return lifecycle.Reconcile(); },
                    .flush_digest_cache =
                        [this] {
                          const uint64_t entries = cache.counters().entries;
                          cache.Flush();
                          return entries;
                        },
                    .set_log_level =
                        [](std::string_view level) {
                          return log::Configure(level);
                        }}};
}

absl::Status Daemon::Owners::Listen() {
  const rpc::ServerLimits limits = {
      .max_message_bytes = config.max_message_bytes,
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
    ASSIGN_OR_RETURN_WITH(
        auto tcp,
        rpc::Server::StartOnTcp(config.tcp->address,
                                {.certificate = config.tcp->certificate,
                                 .private_key = config.tcp->private_key,
                                 .client_ca = config.tcp->client_ca},
                                ToGrants(config.tcp->clients), Services(),
                                limits),
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
  const auto deadline = std::chrono::system_clock::now() + kDrain;
  std::vector<std::thread> shutdowns;
  for (const auto& server : stopping) {
    shutdowns.emplace_back([&server, deadline] { server->Shutdown(deadline); });
  }
  for (std::thread& shutdown : shutdowns) {
    shutdown.join();
  }
  libvirt.Stop();
  digester.Stop();
  sealer.Stop();
}

Daemon::Daemon(std::unique_ptr<Owners> owners) : owners_(std::move(owners)) {}

Daemon::~Daemon() { owners_->Stop(); }

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(
    const DaemonConfig& config) {
  ASSIGN_OR_RETURN_WITH(StateDir state, StateDir::Open(config.state_dir),
                        "state_dir");
  ASSIGN_OR_RETURN(tpm::EsysHostTpmOptions tpm_options, TpmOptions(config));
  ASSIGN_OR_RETURN_WITH(
      auto store,
      inventory::SqliteVmStore::Open(config.state_dir / "inventory.db"),
      "inventory");
  std::unique_ptr<Daemon> daemon(new Daemon(std::make_unique<Owners>(
      config, std::move(state), std::move(tpm_options), std::move(store))));
  Owners& owners = *daemon->owners_;
  RETURN_IF_ERROR(owners.store.LastSequence().status());
  RETURN_IF_ERROR(owners.Listen());
  RETURN_IF_ERROR(owners.libvirt.Start(owners.lifecycle));
  return daemon;
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
