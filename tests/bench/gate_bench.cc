// What the launch gate adds to `virsh start`: a real libvirtd starts the same
// VM in turn with vmattest-hook and with a script that does nothing in its
// place. Between two other hooks that look at the clock it is told what the
// gate adds by itself, apart from what libvirtd and QEMU take one time or
// another. Before each start everybody has come to rest: the daemon writes what
// happened to VMs into the TPM's log, and is alarmed by the start that it was
// not asked about.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "document/document.h"
#include "fmt/format.h"
#include "reference/reference.h"
#include "support/daemon_process.h"
#include "support/libvirt_host.h"
#include "support/swtpm.h"

namespace vmattest {
namespace {

namespace fs = std::filesystem;
using testing::DaemonProcess;
using testing::LibvirtHost;

constexpr char kUuid[] = "a045410c-221a-45fb-b0ef-341be7ce6025";
constexpr double kLimitMs = 50;  // p99

void Require(bool good, const std::string& what) {
  if (!good) {
    throw std::runtime_error(what);
  }
}

class GateBed {
 public:
  GateBed() {
    absl::StatusOr<std::unique_ptr<LibvirtHost>> host = LibvirtHost::Up("gate");
    Require(host.ok(), std::string(host.status().message()));
    host_ = *std::move(host);
    const std::string folder = host_->folder();
    fs::create_directories(host_->folder() / "approvers");
    fs::create_directories(host_->folder() / "references");
    Write("approvers/a.pub", document::PublicKeyToJson(approver_.public_key()));
    Write("disk", std::string(1u << 20, 'd'));
    Sign();
    daemon_ = std::make_unique<DaemonProcess>(DaemonProcess::Options{
        .libvirt_uri = host_->uri(),
        .tcti = tpm_.tcti(),
        .more = fmt::format("gate:\n"
                            "  enabled: true\n"
                            "  hook_socket: {0}/hook.sock\n"
                            "  approvers: {0}/approvers\n"
                            "  references: {0}/references\n"
                            "  hooks_dir: {0}/host/etc/hooks\n",
                            folder)});
    Require(testing::Eventually([this] { return Install() == 0; }),
            daemon_->log());
    Require(host_->StopLibvirtd("TERM").ok() && host_->StartLibvirtd().ok(),
            "libvirtd does not restart");
    hook_ = host_->folder() / "host/etc/hooks/qemu.d/vmattest";
    for (const char* stamp : {kBefore, kAfter}) {
      fs::copy_file(VMATTEST_HOOK_STAMP, hook_.parent_path() / stamp);
    }
    fs::copy_file(hook_, host_->folder() / "real");
    Write("nothing", "#!/bin/sh\nexit 0\n");
    fs::permissions(host_->folder() / "nothing", fs::perms::owner_all);
    Write(
        "vm.xml",
        fmt::format("<domain type='qemu'><name>web</name><uuid>{}</uuid>"
                    "<memory unit='MiB'>16</memory><vcpu>1</vcpu><os>"
                    "<type arch='x86_64' machine='pc'>hvm</type></os><devices>"
                    "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
                    "<disk type='file' device='disk'><driver name='qemu' "
                    "type='raw'/><source file='{}/disk'/><target dev='vda' "
                    "bus='virtio'/></disk></devices></domain>",
                    kUuid, folder));
    Require(host_->Virsh({"define", folder + "/vm.xml"}).ok(), "define");
    (void)Start("real");  // asks the verifier, and keeps what it says
  }

  // Nothing was logged between two questions.
  void AwaitRest() {
    std::string before;
    Require(testing::Eventually([this, &before] {
              const std::string now = Logged();
              return !now.empty() && std::exchange(before, now) == now;
            }),
            daemon_->log());
  }
  // Processor time of the daemon so far, that of its workers and its signer not
  // counted.
  [[nodiscard]] double DaemonCpuMs() const {
    clockid_t clock = 0;
    timespec used{};
    Require(clock_getcpuclockid(daemon_->pid(), &clock) == 0 &&
                clock_gettime(clock, &used) == 0,
            "the daemon's clock");
    return static_cast<double>(used.tv_sec) * 1e3 +
           static_cast<double>(used.tv_nsec) / 1e6;
  }

  struct Took {
    double start_ms = 0;  // of `virsh start`
    double hooks_ms = 0;  // of that, for the hook's three calls
  };
  // One start with that program as libvirt's hook.
  Took Start(const char* program) {
    fs::copy_file(host_->folder() / program, hook_.string() + ".new",
                  fs::copy_options::overwrite_existing);
    fs::rename(hook_.string() + ".new", hook_);
    AwaitRest();
    for (const char* stamps : {kBefore, kAfter}) {
      fs::remove(Stamps(stamps));
    }
    const auto begin = std::chrono::steady_clock::now();
    const auto started = host_->Virsh({"start", "web", "--paused"});
    const auto end = std::chrono::steady_clock::now();
    Require(started.ok(),
            std::string(started.status().message()) + daemon_->log());
    Took took;
    took.start_ms =
        std::chrono::duration<double, std::milli>(end - begin).count();
    const std::map<std::string, double> before = ReadStamps(kBefore);
    for (const auto& [operation, ms] : ReadStamps(kAfter)) {
      took.hooks_ms += ms - before.at(operation);
    }
    Require(before.size() == 3, "three calls of the hook");
    Require(host_->Virsh({"destroy", "web"}).ok(), "destroy");
    return took;
  }

 private:
  static constexpr char kBefore[] = "000-before";
  static constexpr char kAfter[] = "zzz-after";

  [[nodiscard]] fs::path Stamps(const std::string& name) const {
    return hook_.parent_path().parent_path() / (name + ".stamps");
  }
  // Milliseconds, of what comes before a VM runs.
  std::map<std::string, double> ReadStamps(const std::string& name) {
    std::map<std::string, double> stamps;
    std::ifstream file(Stamps(name));
    std::string operation;
    for (double ns = 0; file >> operation >> ns;) {
      if (operation == "prepare" || operation == "start" ||
          operation == "started") {
        stamps[operation] = ns / 1e6;
      }
    }
    return stamps;
  }
  // How many records the host event log has.
  std::string Logged() {
    const std::string status = daemon_->Vmattest({"status"}).out;
    const size_t at = status.find("event log ");
    return at == std::string::npos
               ? ""
               : status.substr(at, status.find('\n', at) - at);
  }
  int Install() {
    return testing::RunToEnd(
               {DaemonProcess::CommandLine(), "hook", "install", "--state-dir",
                (daemon_->folder() / "state").string(), "--hooks-dir",
                (host_->folder() / "host/etc/hooks").string()})
        .exit_code;
  }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(host_->folder() / name, std::ios::binary) << content;
  }
  // Everything about this VM is approved; what counts here is the time.
  void Sign() {
    reference::Reference any;
    const int64_t now = SystemClock().Now().time_since_epoch().count();
    any.header = {.issued_unix_ms = now,
                  .not_before_unix_ms = now - 60'000,
                  .not_after_unix_ms = now + 3'600'000,
                  .signature_algorithms = approver_.algorithms()};
    any.mode = reference::GateMode::kEnforce;
    any.revision = 1;
    any.name = "any";
    any.vm_uuids = {kUuid};
    any.content = "full";
    any.accept_other_leaves = true;
    any.rules = {{.path = "name",
                  .kind = reference::LeafRule::Kind::kEqual,
                  .type = {},
                  .values = {"web"}}};
    const absl::StatusOr<Bytes> document =
        approver_.Sign(document::kReferencePayloadType, reference::Encode(any));
    Require(document.ok(), "sign");
    Write("references/any", std::string(AsText(*document)));
  }

  testing::Swtpm tpm_;
  document::PrivateKey approver_ =
      *document::PrivateKey::Generate("approver", std::nullopt);
  std::unique_ptr<LibvirtHost> host_;
  std::unique_ptr<DaemonProcess> daemon_;
  fs::path hook_;
};

// By nearest rank: of 100 samples the 99th is the second of the largest.
double Percentile(std::vector<double> samples, double part) {
  std::sort(samples.begin(), samples.end());
  const double rank = std::ceil(part * static_cast<double>(samples.size()));
  return samples[std::max(static_cast<size_t>(rank), size_t{1}) - 1];
}

void BM_StartUnderTheGate(benchmark::State& state) {
  if (const std::string why = LibvirtHost::WhyNot(); !why.empty()) {
    state.SkipWithError(why.c_str());
    return;
  }
  GateBed bed;
  std::vector<double> nothing;
  std::vector<double> gate;
  std::vector<double> nothing_hooks;
  std::vector<double> gate_hooks;
  double cpu = 0;
  for (auto step : state) {
    const double before = bed.DaemonCpuMs();
    const GateBed::Took without = bed.Start("nothing");
    const double between = bed.DaemonCpuMs();
    const GateBed::Took with = bed.Start("real");
    nothing.push_back(without.start_ms);
    nothing_hooks.push_back(without.hooks_ms);
    gate.push_back(with.start_ms);
    gate_hooks.push_back(with.hooks_ms);
    cpu += bed.DaemonCpuMs() - between - (between - before);
    state.SetIterationTime(gate.back() / 1000);
  }
  const double usual = Percentile(nothing, 0.5);
  const double script = Percentile(nothing_hooks, 0.5);
  const double added = Percentile(gate_hooks, 0.99) - script;
  state.counters["start_p50_ms"] = usual;
  state.counters["start_p99_ms"] = Percentile(nothing, 0.99);
  state.counters["added_p50_ms"] = Percentile(gate, 0.5) - usual;
  // Of the whole start both ends, in which the tail of libvirtd and QEMU is:
  // against the usual start, and against the slowest ones.
  state.counters["p99_over_p50_ms"] = Percentile(gate, 0.99) - usual;
  state.counters["p99_over_p99_ms"] =
      Percentile(gate, 0.99) - Percentile(nothing, 0.99);
  state.counters["added_daemon_cpu_ms"] =
      cpu / static_cast<double>(gate.size());
  state.counters["hooks_p50_ms"] = Percentile(gate_hooks, 0.5) - script;
  state.counters["hooks_p99_ms"] = added;
  state.counters["limit_ratio"] = kLimitMs / added;
}
// VMATTEST_BENCH_STARTS: of each kind.
int64_t Starts() {
  const char* const wanted = std::getenv("VMATTEST_BENCH_STARTS");
  const int64_t starts = wanted == nullptr ? 0 : std::atoll(wanted);
  return starts > 0 ? starts : 100;
}
BENCHMARK(BM_StartUnderTheGate)
    ->Iterations(Starts())
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
