#include "verifierd/verifierd.h"

#include <atomic>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "fmt/format.h"
#include "ops/counted_executor.h"
#include "ops/health.h"
#include "ops/metrics.h"
#include "process/state_dir.h"
#include "rpc/grants.h"
#include "rpc/ledger_service.h"
#include "rpc/server.h"
#include "verifierd/ledger_stack.h"
#include "verifierd/stack.h"
#include "verifierd/verifier_metrics.h"

namespace vmattest::verifierd {
namespace {

constexpr std::chrono::seconds kDrain{5};
constexpr size_t kLedgerCheckers = 2;
constexpr size_t kMaxLedgerChecks = 8'192;
constexpr std::string_view kStore = "verifier-store";
constexpr std::string_view kLedger = "ledger";

}  // namespace

// Each level knows only those above it, so the order of the members is the
// order of life; they go in reverse.
//
//   gRPC servers (admin socket, TCP)
//     -> services            `request`, `watch`
//          -> ledger node: sequencer `ledger`, checkpoints `ledger-sign`
//          -> stack: registry, references, appraiser -> decision log -> store
//                                                    -> webhook   `webhook`
struct Verifierd::Owners {
  Owners(const config::VerifierdConfig& config_in, process::StateDir state_in)
      : config(config_in),
        state(std::move(state_in)),
        health(clock),
        request_pool("request", config.request_threads,
                     config.max_queued_requests),
        requests(request_pool),
        watch("watch", 1, 2 * config.max_watchers + 2),
        ledger_check("ledger-check", config.ledger ? kLedgerCheckers : 1,
                     kMaxLedgerChecks) {
    health.OnChange(
        [this](std::string_view component, const absl::Status& status) {
          Told(component, status);
        });
  }
  void Told(std::string_view component, const absl::Status& status);
  absl::Status Listen();
  std::vector<ops::Metric> Metrics();
  absl::Status ServeMetrics();
  void Stop();

  const config::VerifierdConfig config;
  const SystemClock clock;
  process::StateDir state;
  ops::Health health;
  std::unique_ptr<VerificationStack> stack;
  std::atomic<bool> ticking = false;
  ThreadPool request_pool;
  ops::CountedExecutor requests;
  ThreadPool watch;
  ThreadPool ledger_check;
  std::unique_ptr<LedgerStack> ledger;  // null: not a ledger node
  Mutex servers_mutex;  // health changes may come from other threads
  std::vector<std::unique_ptr<rpc::Server>> servers GUARDED_BY(servers_mutex);
  std::unique_ptr<ops::MetricsServer> metrics;
};

void Verifierd::Owners::Told(std::string_view component,
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

absl::Status Verifierd::Owners::Listen() {
  const rpc::ServerLimits limits = {
      .max_message_bytes = config.max_message_bytes,
      .reflection = config.reflection};
  rpc::ServiceMaker services =
      rpc::VerificationServices(stack->Parts(requests, watch));
  if (ledger != nullptr) {
    services = rpc::Together(
        std::move(services),
        rpc::LedgerServices(
            {.node = ledger->node(), .requests = requests, .watch = watch}));
  }
  ASSIGN_OR_RETURN_WITH(
      auto admin,
      rpc::Server::StartOnSocket(rpc::Listener::kAdminSocket,
                                 config.admin_socket, "", services, limits),
      "listen.admin_socket");
  const MutexLock lock(servers_mutex);
  servers.push_back(std::move(admin));
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
                                grants, services, limits),
        "listen.tcp");
    servers.push_back(std::move(tcp));
  }
  for (const auto& server : servers) {
    server->Follow(health);
  }
  return absl::OkStatus();
}

std::vector<ops::Metric> Verifierd::Owners::Metrics() {
  std::vector<ops::Metric> all =
      ToMetrics(stack->counters(), health.Get(kStore).ok());
  if (ledger != nullptr) {
    const std::vector<ops::Metric> more = ToMetrics(ledger->node());
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

absl::Status Verifierd::Owners::ServeMetrics() {
  if (!config.metrics_address) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN_WITH(metrics,
                        ops::MetricsServer::Start(*config.metrics_address,
                                                  [this] { return Metrics(); }),
                        "metrics.address");
  return absl::OkStatus();
}

// Intake first: after that nothing new begins, and the members can go.
void Verifierd::Owners::Stop() {
  std::vector<std::unique_ptr<rpc::Server>> stopping;
  {
    const MutexLock lock(servers_mutex);
    stopping.swap(servers);
  }
  rpc::Server::ShutdownAll(stopping, std::chrono::system_clock::now() + kDrain);
  metrics.reset();
  request_pool.Shutdown();
  watch.Shutdown();
  ledger.reset();
}

Verifierd::Verifierd(std::unique_ptr<Owners> owners)
    : owners_(std::move(owners)) {}

Verifierd::~Verifierd() { owners_->Stop(); }

absl::StatusOr<std::unique_ptr<Verifierd>> Verifierd::Start(
    const config::VerifierdConfig& config) {
  ASSIGN_OR_RETURN_WITH(process::StateDir state,
                        process::StateDir::Open(config.state_dir), "state_dir");
  std::unique_ptr<Verifierd> daemon(
      new Verifierd(std::make_unique<Owners>(config, std::move(state))));
  Owners& owners = *daemon->owners_;
  ASSIGN_OR_RETURN(owners.stack,
                   VerificationStack::Open({.folder = config.state_dir,
                                            .settings = config.verification,
                                            .etcd = config.etcd,
                                            .max_watchers = config.max_watchers,
                                            .watcher_lag = config.watcher_lag},
                                           owners.clock));
  owners.health.Set(kStore, owners.stack->Tick());
  if (config.ledger) {
    ASSIGN_OR_RETURN_WITH(
        owners.ledger,
        LedgerStack::Open({.folder = config.state_dir,
                           .settings = *config.ledger,
                           .authority = owners.stack->authority(),
                           .authority_key = &owners.stack->authority_key(),
                           .max_watchers = config.max_watchers},
                          owners.ledger_check, owners.clock),
        "ledger");
    owners.health.Set(kLedger, owners.ledger->Tick());
  }
  RETURN_IF_ERROR(owners.ServeMetrics());
  RETURN_IF_ERROR(owners.Listen());
  return daemon;
}

// Elsewhere: a store over a network may keep its caller waiting.
void Verifierd::Tick() {
  if (owners_->ticking.exchange(true)) {
    return;
  }
  const absl::Status submitted = owners_->requests.Submit([this] {
    owners_->health.Set(kStore, owners_->stack->Tick());
    if (owners_->ledger != nullptr) {
      owners_->health.Set(kLedger, owners_->ledger->Tick());
    }
    owners_->ticking = false;
  });
  if (!submitted.ok()) {
    owners_->ticking = false;
  }
}

absl::Status Verifierd::Reload() { return owners_->stack->Reload(); }

std::vector<ops::Watchdog::Subject> Verifierd::subjects() {
  return {{"request", &owners_->requests,
           [this] { return owners_->requests.finished(); }},
          {"watch", &owners_->watch, {}}};
}

std::string Verifierd::summary() const {
  const auto told = [](const absl::Status& status) {
    return status.ok() ? "serving" : std::string(status.message());
  };
  std::string summary =
      fmt::format("store: {}", told(owners_->health.Get(kStore)));
  if (owners_->ledger != nullptr) {
    summary += fmt::format(", ledger: {}", told(owners_->health.Get(kLedger)));
  }
  return summary;
}

}  // namespace vmattest::verifierd
