#include "daemon/memory_host.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "capture/guard/process_guard.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "gate/running_view.h"
#include "ipc/program_path.h"
#include "kvm/linux/process_scan.h"
#include "measurement/domain_memory.h"

namespace vmattest::daemon {
namespace {

namespace fs = std::filesystem;

constexpr size_t kQueue = 1024;

absl::StatusOr<std::vector<snapshot::Policy>> LoadPolicies(
    const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entries(folder, error), end;
       !error && entries != end; entries.increment(error)) {
    if (entries->path().extension() == ".yaml") {
      files.push_back(entries->path());
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), folder.string());
  }
  std::sort(files.begin(), files.end());
  std::vector<snapshot::Policy> policies;
  std::set<std::string> ids;
  for (const fs::path& file : files) {
    ASSIGN_OR_RETURN(snapshot::Policy policy,
                     snapshot::LoadPolicy(file.string()));
    if (!ids.insert(policy.id).second) {
      return absl::InvalidArgumentError(
          fmt::format("{}: a second policy '{}'", file.string(), policy.id));
    }
    policies.push_back(std::move(policy));
  }
  if (policies.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("no *.yaml in {}", folder.string()));
  }
  return policies;
}

// The bias of a modulus is below 2^-40 for any schedule.
uint64_t RandomBelow(uint64_t bound) {
  const Bytes bytes = RandomBytes(sizeof(uint64_t));
  return ByteReader(bytes).U64() % bound;
}

inspection::WorkerPoolOptions PoolOptions(const config::MemoryConfig& config,
                                          const std::string& user,
                                          const std::string& program) {
  inspection::WorkerPoolOptions options;
  options.program = program;
  options.user = user;
  // Those that are kept, and those that measure.
  options.max_workers = 2 * size_t{config.max_workers};
  return memory::ForMemory(std::move(options),
                           uint64_t{config.worker_memory_mib} << 20);
}

// libvirtd, as root, comes to FIFOs there.
fs::path StreamsOf(const config::DaemonConfig& config) {
  return config.state_dir / "streams";
}

memory::WorkerMeasurer::Options MeasurerOptions(
    const config::DaemonConfig& config, hypervisor::Hypervisor& libvirt) {
  memory::WorkerMeasurer::Options options;
  options.libvirt_run_dir = config.libvirt_run_dir;
  options.max_kept = config.memory.max_workers;
  options.threads = config.memory.threads;
  options.max_peek_bytes = uint64_t{config.memory.max_peek_mib} << 20;
  options.streams = StreamsOf(config);
  options.max_saved_bytes = uint64_t{config.memory.max_moment_mib} << 20;
  options.modules = config.memory.modules;
  options.describe =
      [&libvirt](const Uuid& vm) -> absl::StatusOr<memory::DomainMemory> {
    ASSIGN_OR_RETURN(const hypervisor::DomainXml xml, libvirt.GetXml(vm));
    if (!xml.live) {
      return absl::NotFoundError("it does not run");
    }
    return measurement::ParseDomainMemory(xml.xml);
  };
  return options;
}

auto RunsOf(const config::DaemonConfig& config) {
  return [folder = config.libvirt_run_dir](const Uuid& vm,
                                           const std::string& name) {
    const absl::StatusOr<kvm::ProcessId> process =
        kvm::FindDomainProcess(name, ToString(vm), folder, "/proc");
    return process.ok() ? kvm::RunOf(*process, "/proc") : std::string();
  };
}

}  // namespace

absl::StatusOr<std::unique_ptr<MemoryHost>> MemoryHost::Make(
    const config::DaemonConfig& config, Parts parts) {
  ASSIGN_OR_RETURN_WITH(std::vector<snapshot::Policy> policies,
                        LoadPolicies(config.memory.policies),
                        "memory.policies");
  const fs::path beside = config.processes.worker.parent_path();
  const auto find = [&](const char* name) {
    return ipc::FindProgram(beside.empty() ? fs::path() : beside / name, name);
  };
  ASSIGN_OR_RETURN_WITH(const fs::path worker, find("vmattest-memory-worker"),
                        "memory.enabled");
  ASSIGN_OR_RETURN_WITH(const fs::path guard, find("vmattest-resume-guard"),
                        "memory.enabled");
  std::error_code error;
  fs::create_directories(StreamsOf(config), error);
  if (error) {
    return ErrnoStatus(error.value(), StreamsOf(config).string());
  }
  ASSIGN_OR_RETURN_WITH(const fs::path header_worker,
                        find("vmattest-header-worker"), "memory.enabled");
  const GuestHost::Parts guests = {
      .libvirt = parts.libvirt, .clock = parts.clock, .journal = parts.journal};
  inspection::WorkerPoolOptions workers = parts.workers;
  workers.program = header_worker.string();
  std::unique_ptr<MemoryHost> host(
      new MemoryHost(config, std::move(parts),
                     {worker.string(), guard.string()}, std::move(policies)));
  if (config.memory.guest_requests.enabled) {
    ASSIGN_OR_RETURN_WITH(host->guests_,
                          GuestHost::Make(config.memory.guest_requests, guests,
                                          std::move(workers), host->capturer_),
                          "memory.guest_requests");
  }
  return host;
}

MemoryHost::MemoryHost(const config::DaemonConfig& config, Parts parts,
                       const Programs& programs,
                       std::vector<snapshot::Policy> policies)
    : next_(parts.next),
      requests_(parts.requests),
      clock_(parts.clock),
      pool_(PoolOptions(config.memory, parts.workers.user, programs.worker)),
      measurer_(pool_, parts.libvirt, MeasurerOptions(config, parts.libvirt)),
      store_(config.state_dir / "snapshots", config.memory.keep),
      verifier_(std::move(parts.verifier)),
      reactor_(
          {.hypervisor = parts.libvirt,
           .clock = parts.clock,
           .file = config.state_dir / "reactions",
           .note =
               [&journal = parts.journal](auto kind, auto facts) {
                 journal.Note(std::move(kind), std::move(facts));
               },
           .links_down =
               [](const std::string& xml) { return gate::WithLinksDown(xml); },
           .isolating = std::move(parts.isolating),
           .run_of = RunsOf(config)}),
      compare_("compare", 1, kQueue),
      comparer_(MakeComparer(parts.ledger)),
      threads_("snapshot", config.memory.max_workers, kQueue),
      capturer_(
          {.state = {.hypervisor = parts.libvirt,
                     .control = parts.libvirt,
                     .measurer = measurer_,
                     .make_guard = capture::ProcessGuards(
                         programs.guard, config.libvirt_uri, StreamsOf(config)),
                     .boot_of =
                         [this](const Uuid& vm) { return boots_.Of(vm); }},
           .signer = parts.signer,
           .statements = parts.attestor.statements(),
           .store = store_,
           .work = threads_,
           .clock = parts.clock,
           .captured =
               [this](const auto& captured, const auto& policy) {
                 if (comparer_ != nullptr) {
                   comparer_->Captured(captured, policy);
                 }
               }},
          std::move(policies)),
      scheduler_(capturer_, parts.libvirt, threads_, parts.clock, RandomBelow) {
}

rpc::ServiceMaker MemoryHost::Services() {
  return rpc::MemoryServices(
      {.capturer = capturer_, .requests = requests_, .clock = clock_});
}

std::unique_ptr<capture::Comparer> MemoryHost::MakeComparer(
    LedgerHost* ledger) {
  if (verifier_ == nullptr) {
    return nullptr;
  }
  return std::make_unique<capture::Comparer>(capture::Comparer::Parts{
      .verifier = *verifier_,
      .reactor = reactor_,
      .store = store_,
      .work = compare_,
      .clock = clock_,
      .result = [ledger](const capture::SnapshotResult& result) {
        if (ledger != nullptr) {
          ledger->Compared(result);
        }
      }});
}

void MemoryHost::Stop() {
  if (guests_ != nullptr) {
    guests_->Stop();
  }
  if (comparer_ != nullptr) {
    comparer_->Stop();
  }
  pool_.Stop();
  threads_.Shutdown();
  compare_.Shutdown();
}

void MemoryHost::OnConnected() {
  measurer_.MissedEvents();
  boots_.MissedEvents();
  next_.OnConnected();
}

void MemoryHost::OnDisconnected(const absl::Status& why) {
  // Nobody tells what happens until it is connected again.
  measurer_.MissedEvents();
  boots_.MissedEvents();
  next_.OnDisconnected(why);
}

void MemoryHost::OnLifecycle(const hypervisor::LifecycleEvent& event) {
  if (event.kind == hypervisor::LifecycleKind::kStopped ||
      event.kind == hypervisor::LifecycleKind::kCrashed) {
    measurer_.Ended(event.uuid);
    boots_.Ended(event.uuid);
  }
  next_.OnLifecycle(event);
}

void MemoryHost::OnChange(const Uuid& uuid) {
  measurer_.Changed(uuid);
  next_.OnChange(uuid);
}

void MemoryHost::OnReset(const Uuid& uuid) {
  boots_.Reset(uuid);
  next_.OnReset(uuid);
}

std::vector<ops::Metric> MemoryHost::Metrics() const {
  const capture::Capturer::Counters counters = capturer_.counters();
  const auto value = [](const char* name, const char* help, uint64_t number) {
    return ops::Metric{name,
                       help,
                       ops::Metric::Type::kCounter,
                       static_cast<double>(number),
                       {}};
  };
  const capture::Reactor::Counters reactions = reactor_.counters();
  const capture::Comparer::Counters compared =
      comparer_ == nullptr ? capture::Comparer::Counters()
                           : comparer_->counters();
  std::vector<ops::Metric> all = {
      value("vmattest_snapshots_trusted_total",
            "Memory snapshots that the verifier trusted.", compared.trusted),
      value("vmattest_snapshots_refused_total",
            "Memory snapshots that the verifier refused.", compared.refused),
      value("vmattest_snapshots_without_baseline_total",
            "Memory snapshots that there was nothing to compare with.",
            compared.no_baseline),
      value("vmattest_snapshots_not_compared_total",
            "Memory snapshots that nobody decided about.", compared.failed),
      value("vmattest_memory_alerts_total",
            "Snapshots that something was to be told about.", reactions.alerts),
      value("vmattest_memory_reactions_total",
            "VMs that were paused, isolated or destroyed.", reactions.done),
      value("vmattest_memory_reactions_dry_total",
            "Reactions that a dry run left undone.", reactions.dry_runs),
      value("vmattest_memory_reactions_held_back_total",
            "Reactions that were over the policy's rate.", reactions.held_back),
      value("vmattest_memory_reactions_failed_total",
            "Reactions that could not be done.", reactions.failed),
      value("vmattest_snapshots_total", "Memory snapshots sealed.",
            counters.captured),
      value("vmattest_snapshots_failed_total",
            "Memory snapshots that came to nothing.", counters.failed),
      value("vmattest_snapshot_pages_total", "Pages in memory snapshots.",
            counters.pages),
      value("vmattest_snapshot_pause_microseconds_total",
            "Time that guests stood for snapshots.", counters.pause_us)};
  if (guests_ != nullptr) {
    const std::vector<ops::Metric> more = guests_->Metrics();
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace vmattest::daemon
