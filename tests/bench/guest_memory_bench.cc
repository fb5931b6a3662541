// Measuring a real guest with 2 GiB of memory in use, against libvirt's own
// ways to its memory, in one run (needs root and libvirt):
//   dump_over_measure   virsh dump --memory-only and hashing   target >= 5
//                       the file; against a later pass
//   dump_over_first     the same against the first pass
//   peek_over_measure   virDomainMemoryPeek and hashing        target >= 10
//   pause_over_limit    pause for a copy of 32 MiB, against    target <= 1
//                       10 ms and twice the memcpy of it
//   moment_seconds, moment_stood_ms  one moment, streamed by libvirt
//   grown_mib           what the guest uses more than before   target 0

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>

#include "bench/must.h"
#include "crypto/digest.h"
#include "crypto/page_hash.h"
#include "fakes/recording_observer.h"
#include "fmt/format.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "inspection/worker/worker_pool.h"
#include "kvm/linux/process_scan.h"
#include "measurement/domain_memory.h"
#include "memory/linux/process_ram.h"
#include "memory/worker/worker_measurer.h"
#include "support/libvirt_host.h"

namespace vmattest::memory {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGuestMiB = 2048;
constexpr uint64_t kFilledFrom = 32 * kMiB;
constexpr uint64_t kPeeked = 64 * kMiB;
constexpr uint64_t kPaused = 32 * kMiB;
constexpr int kRounds = 3;

double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}
double Best(int rounds, const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < rounds; ++i) {
    best = std::min(best, Seconds(work));
  }
  return best;
}

MeasureCall Call() {
  return {std::chrono::steady_clock::now() + std::chrono::minutes(10), {}, {}};
}

// As if its operating system used all of it. Where firmware is stays as it is.
void Fill(const kvm::ProcessId& process) {
  std::vector<RamSource> blocks = Must(OpenRam(process, {kGuestMiB * kMiB}));
  const UniqueFd file(
      open(fmt::format("/proc/self/fd/{}", blocks.at(0).memory.get()).c_str(),
           O_RDWR | O_CLOEXEC));
  const Bytes piece = RandomBytes(kMiB);
  for (uint64_t at = kFilledFrom; at < kGuestMiB * kMiB; at += kMiB) {
    Bytes changed = piece;
    changed[0] = static_cast<uint8_t>(at / kMiB);
    changed[1] = static_cast<uint8_t>(at / kMiB >> 8);
    if (pwrite(file.get(), changed.data(), changed.size(),
               static_cast<off_t>(at)) != static_cast<ssize_t>(kMiB)) {
      std::exit(1);
    }
  }
}

uint64_t ResidentKiB(const kvm::ProcessId& process) {
  std::ifstream status(fmt::format("/proc/{}/status", process.pid));
  uint64_t total = 0;
  for (std::string key; status >> key;) {
    uint64_t value = 0;
    if ((key == "RssAnon:" || key == "RssShmem:") && status >> value) {
      total += value;
    }
  }
  return total;
}

void HashFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  Bytes buffer(4 * kMiB);
  Hasher hasher(HashAlgorithm::kBlake3);
  for (ssize_t got = 0;
       (got = read(file.get(), buffer.data(), buffer.size())) > 0;) {
    hasher.Update(ByteView(buffer).first(static_cast<size_t>(got)));
  }
  (void)std::move(hasher).Finish();
}

double Memcpy(uint64_t bytes) {
  Bytes from(bytes, 1);
  Bytes to(bytes, 2);
  return Best(3, [&] { std::memcpy(to.data(), from.data(), bytes); });
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
      Must(host->MakeDomain("bench", {"backing=memfd", "kernel=none",
                                      fmt::format("mem={}", kGuestMiB)}));
  Must(host->Virsh({"create", xml.string()}));
  const hypervisor::Domain domain = Must(libvirt.FindDomainByName("bench"));
  const Guest guest{domain.uuid, "bench",
                    Must(measurement::ParseDomainMemory(
                        Must(libvirt.GetXml(domain.uuid)).xml))};
  WorkerMeasurer::Options options;
  options.libvirt_run_dir = host->folder() / "host" / "run" / "qemu";
  options.streams = host->folder() / "streams";
  options.max_saved_bytes = 2 * kGuestMiB * kMiB;
  std::filesystem::create_directories(options.streams);
  const kvm::ProcessId process = Must(kvm::FindDomainProcess(
      guest.name, ToString(guest.uuid), options.libvirt_run_dir, "/proc"));
  Fill(process);
  inspection::WorkerPool pool(ForMemory(
      {.program = VMATTEST_MEMORY_WORKER, .user = "", .max_workers = 2},
      512 * kMiB));
  WorkerMeasurer measurer(pool, libvirt, options);
  const auto open = Must(measurer.Open(guest, Call()));
  MeasurePlan plan;
  plan.algorithm = HashAlgorithm::kBlake3;
  plan.regions = {open->ram(true)};
  const auto measure = [&] { Must(open->Measure(plan, Call())); };

  const uint64_t before = ResidentKiB(process);
  const double first = Seconds(measure);
  const double later = Best(kRounds, measure);
  const uint64_t after = ResidentKiB(process);
  const double dump = Best(2, [&] {
    const std::string file = host->folder() / "dump";
    Must(host->Virsh({"dump", "bench", file, "--memory-only", "--live"}));
    HashFile(file);
    std::filesystem::remove(file);
  });
  const double peek = Seconds([&] {
    Bytes buffer(hypervisor::GuestControl::kMaxPeek);
    Bytes digests(buffer.size() / kPageSize * 32);
    for (uint64_t at = kFilledFrom; at < kFilledFrom + kPeeked;
         at += buffer.size()) {
      Must(libvirt.PeekMemory(guest.uuid, at, buffer));
      HashPieces(HashAlgorithm::kBlake3, buffer, kPageSize, digests);
    }
  });
  plan.regions = {{{kFilledFrom, kFilledFrom + kPaused}}};
  double pause = 1e9;
  for (int i = 0; i < 5; ++i) {
    Must(open->PrepareCopy(plan, Call()));
    pause = std::min(pause, Seconds([&] {
                       Must(libvirt.BeginPause(guest.uuid));
                       Must(open->Copy(plan, std::chrono::seconds(5), Call()));
                       Must(libvirt.EndPause(guest.uuid));
                     }));
    Must(open->Measure(plan, Call()));
  }
  const double limit = 0.010 + 2 * Memcpy(kPaused);
  const SavedMoment moment = Must(open->SaveMoment(Call()));

  fmt::print(
      "first_GBps={:.2f} later_GBps={:.2f} dump_over_measure={:.1f} "
      "dump_over_first={:.1f} peek_over_measure={:.0f} pause_ms={:.1f} "
      "pause_over_limit={:.2f} moment_seconds={:.2f} moment_stood_ms={:.1f} "
      "grown_mib={:.1f}\n",
      kGuestMiB * kMiB / first / 1e9, kGuestMiB * kMiB / later / 1e9,
      dump / later, dump / first, peek / kPeeked * (kGuestMiB * kMiB) / later,
      pause * 1e3, pause / limit,
      static_cast<double>(moment.took.count()) / 1e3,
      static_cast<double>(moment.stood.count()) / 1e3,
      (static_cast<double>(after) - static_cast<double>(before)) / 1024);
  libvirt.Stop();
}

}  // namespace
}  // namespace vmattest::memory

int main() { vmattest::memory::Run(); }
