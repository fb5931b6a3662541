// A hundred guests of 16 MiB without an operating system, measured as a daemon
// with its default of 8 workers does it, in one run (needs root and libvirt):
//   extra_over_limit   memory that measuring takes at its peak, of this target
//   <= 1
//                      process and its workers together, against 64 MiB;
//                      pages of the guests themselves do not count
//   again_over_first   a second measurement of all, against the first
//   seconds            the first, of all hundred

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "bench/must.h"
#include "fakes/recording_observer.h"
#include "fmt/format.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "inspection/worker/worker_pool.h"
#include "measurement/domain_memory.h"
#include "memory/worker/worker_measurer.h"
#include "support/libvirt_host.h"

namespace vmattest::memory {
namespace {

constexpr size_t kGuests = 100;
constexpr size_t kWorkers = 8;
constexpr double kLimitKiB = 64 * 1024;

MeasureCall Call() {
  return {std::chrono::steady_clock::now() + std::chrono::minutes(10), {}, {}};
}

// KiB that a process has beside pages of shared memory, its share of them.
uint64_t OwnKiB(const std::string& pid) {
  std::ifstream rollup("/proc/" + pid + "/smaps_rollup");
  uint64_t total = 0;
  for (std::string key; rollup >> key;) {
    uint64_t value = 0;
    if ((key == "Pss_Anon:" || key == "Pss_File:") && rollup >> value) {
      total += value;
    }
  }
  return total;
}

// Of this process and its workers, which any of its threads started.
uint64_t AllKiB() {
  uint64_t total = OwnKiB("self");
  std::error_code error;
  for (std::filesystem::directory_iterator thread("/proc/self/task", error),
       end;
       !error && thread != end; thread.increment(error)) {
    std::ifstream children(thread->path() / "children");
    for (std::string pid; children >> pid;) {
      total += OwnKiB(pid);
    }
  }
  return total;
}

// The most that there was until it is gone.
class Peak {
 public:
  Peak()
      : thread_([this] {
          while (!over_) {
            most_ = std::max(most_.load(), AllKiB());
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
        }) {}
  Peak(const Peak&) = delete;
  Peak& operator=(const Peak&) = delete;
  ~Peak() { Stop(); }
  uint64_t Stop() {
    over_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
    return most_;
  }

 private:
  std::atomic<bool> over_ = false;
  std::atomic<uint64_t> most_ = 0;
  std::thread thread_;
};

double MeasureAll(WorkerMeasurer& measurer, const std::vector<Guest>& guests) {
  const auto begin = std::chrono::steady_clock::now();
  std::atomic<size_t> next = 0;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kWorkers; ++i) {
    threads.emplace_back([&] {
      for (size_t at = next++; at < guests.size(); at = next++) {
        const auto open = Must(measurer.Open(guests[at], Call()));
        MeasurePlan plan;
        plan.incremental = true;
        plan.regions = {open->ram(true)};
        if (Must(open->Measure(plan, Call())).at(0).pages == 0) {
          std::exit(1);
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

void Run() {
  const auto host = Must(testing::LibvirtHost::Up("bench"));
  testing::RecordingObserver observer;
  hypervisor::LibvirtHypervisor libvirt({.uri = host->uri()});
  if (!libvirt.Start(observer).ok() || !observer.WaitFor("connected")) {
    std::exit(1);
  }
  std::vector<Guest> guests;
  for (size_t i = 0; i < kGuests; ++i) {
    const std::string name = fmt::format("small-{}", i);
    const auto xml = Must(
        host->MakeDomain(name, {"backing=memfd", "kernel=none", "mem=16"}));
    Must(host->Virsh({"create", xml.string()}));
    const hypervisor::Domain domain = Must(libvirt.FindDomainByName(name));
    guests.push_back({domain.uuid, name,
                      Must(measurement::ParseDomainMemory(
                          Must(libvirt.GetXml(domain.uuid)).xml))});
  }
  WorkerMeasurer::Options options;
  options.libvirt_run_dir = host->folder() / "host" / "run" / "qemu";
  options.max_kept = kWorkers;
  const uint64_t before = AllKiB();
  double first = 0;
  double again = 0;
  Peak peak;
  {
    inspection::WorkerPool pool(ForMemory({.program = VMATTEST_MEMORY_WORKER,
                                           .user = "",
                                           .max_workers = 2 * kWorkers},
                                          uint64_t{512} << 20));
    WorkerMeasurer measurer(pool, libvirt, options);
    first = MeasureAll(measurer, guests);
    again = MeasureAll(measurer, guests);
  }
  const auto extra = static_cast<double>(peak.Stop() - before);
  fmt::print(
      "guests={} extra_mib={:.1f} extra_over_limit={:.2f} seconds={:.2f} "
      "again_over_first={:.2f}\n",
      kGuests, extra / 1024, extra / kLimitKiB, first, again / first);
  libvirt.Stop();
}

}  // namespace
}  // namespace vmattest::memory

int main() { vmattest::memory::Run(); }
