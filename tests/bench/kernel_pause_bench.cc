// How long a real Linux guest stands still for a snapshot of its kernel's text,
// rodata and tables, through libvirt, the confined worker and the guard who
// would resume it (needs root and libvirt):
//   pause_ms          of each snapshot, the least, the median and the most
//   limit_ms          10 ms and twice the memcpy of those bytes
//   pause_over_limit  the median, against it               target <= 1
//   most_over_limit   the longest, against it

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iostream>

#include "bench/must.h"
#include "capture/guard/process_guard.h"
#include "capture/measure_state.h"
#include "crypto/digest.h"
#include "fakes/recording_observer.h"
#include "fmt/format.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "inspection/worker/worker_pool.h"
#include "memory/worker/worker_measurer.h"
#include "support/libvirt_host.h"

namespace vmattest::capture {
namespace {

constexpr int kSnapshots = 21;
constexpr std::string_view kPolicy = R"(
id: kernel
version: 1
algorithm: sha256
consistency: {mode: paused, pause_budget_ms: 1000}
regions:
  - {name: text, kernel: {parts: [text]}}
  - {name: rodata, kernel: {parts: [rodata]}}
  - {name: tables, kernel: {parts: [idt, gdt, syscall_table]}}
)";

double Memcpy(uint64_t bytes) {
  Bytes from(bytes, 1);
  Bytes to(bytes, 2);
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    std::memcpy(to.data(), from.data(), bytes);
    best = std::min(best, std::chrono::duration<double>(
                              std::chrono::steady_clock::now() - begin)
                              .count());
  }
  return best;
}

uint64_t PagesOf(const MeasuredState& state) {
  uint64_t pages = 0;
  for (const evidence::RegionState& region : state.statement.regions) {
    pages += region.pages;
  }
  return pages;
}

void Run() {
  const auto host = Must(testing::LibvirtHost::Up("bench"));
  testing::RecordingObserver observer;
  hypervisor::LibvirtHypervisor libvirt({.uri = host->uri()});
  Must(libvirt.Start(observer));
  if (!observer.WaitFor("connected")) {
    std::exit(1);
  }
  const auto xml =
      Must(host->MakeDomain("bench", {"backing=memfd", "mem=512", "cpus=2",
                                      "cmdline=no_timer_check"}));
  Must(host->Virsh({"create", xml.string()}));
  if (!host->AwaitConsole("bench", "GUEST-READY")) {
    std::cerr << host->Console("bench");
    std::exit(1);
  }
  memory::WorkerMeasurer::Options options;
  options.libvirt_run_dir = host->folder() / "host" / "run" / "qemu";
  inspection::WorkerPool pool(memory::ForMemory(
      {.program = VMATTEST_MEMORY_WORKER, .user = "", .max_workers = 2},
      uint64_t{512} << 20));
  memory::WorkerMeasurer measurer(pool, libvirt, options);
  const StateParts parts{libvirt, libvirt, measurer,
                         ProcessGuards(VMATTEST_RESUME_GUARD, host->uri())};
  const snapshot::Policy policy =
      Must(snapshot::ParsePolicy(kPolicy, "kernel.yaml"));
  const hypervisor::Domain domain = Must(libvirt.FindDomainByName("bench"));

  std::vector<double> pauses;
  uint64_t bytes = 0;
  std::string release;
  for (int i = 0; i < kSnapshots; ++i) {
    const MeasuredState state = Must(MeasureState(
        parts, policy,
        {.domain = domain,
         .nonce = RandomBytes(32),
         .cause = "request",
         .call = {std::chrono::steady_clock::now() + std::chrono::minutes(1),
                  {},
                  {}},
         .progress = {}}));
    if (state.statement.consistency != "paused" ||
        state.statement.semantics != "linux") {
      std::cerr << "no paused snapshot: " << state.statement.semantics << "\n";
      for (const std::string& note : state.statement.notes) {
        std::cerr << note << "\n";
      }
      std::exit(1);
    }
    pauses.push_back(static_cast<double>(state.statement.pause_us) / 1e3);
    bytes = PagesOf(state) * state.statement.page_bytes;
    release = state.statement.kernel_release;
  }
  const double limit = 10 + 2e3 * Memcpy(bytes);
  std::sort(pauses.begin(), pauses.end());
  const double median = pauses[pauses.size() / 2];
  fmt::print(
      "linux {} MiB={:.1f} pause_ms={:.1f}/{:.1f}/{:.1f} limit_ms={:.1f} "
      "pause_over_limit={:.2f} most_over_limit={:.2f}\n",
      release, static_cast<double>(bytes) / (1 << 20), pauses.front(), median,
      pauses.back(), limit, median / limit, pauses.back() / limit);
  libvirt.Stop();
}

}  // namespace
}  // namespace vmattest::capture

int main() { vmattest::capture::Run(); }
