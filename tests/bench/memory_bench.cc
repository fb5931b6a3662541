// Page digests of a guest's shared memory against hashing the same number of
// pages in memory, and a second look at unchanged pages, in one run:
//   later_over_memory    mapping kept, BLAKE3, two threads      target >= 0.85
//   first_over_memory    mapping made                           target >= 0.55
//   dirty_over_full      SHA-256, 1 % of the pages written      target <= 0.35
// ..._cpu is the same in processor time, which others' work disturbs less.

#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "crypto/digest.h"
#include "crypto/page_hash.h"
#include "worker/memory/page_measurer.h"

namespace vmattest::worker {
namespace {

constexpr uint64_t kGuest = uint64_t{2} << 30;
constexpr uint64_t kStep = uint64_t{1} << 20;
constexpr size_t kThreads = 2;

double Cpu() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec);
}

// The least that it took, of each.
struct Cost {
  double wall = 1e9;
  double cpu = 1e9;
  void Add(const std::function<void()>& work) {
    const double before = Cpu();
    const auto begin = std::chrono::steady_clock::now();
    work();
    wall = std::min(wall, std::chrono::duration<double>(
                              std::chrono::steady_clock::now() - begin)
                              .count());
    cpu = std::min(cpu, Cpu() - before);
  }
};

// RAM of a guest, all of it written.
class Guest {
 public:
  explicit Guest(uint64_t size)
      : size_(size), file_(memfd_create("bench", MFD_CLOEXEC)) {
    if (ftruncate(file_.get(), static_cast<off_t>(size)) != 0) {
      std::abort();
    }
    ram_ = static_cast<uint8_t*>(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                      MAP_SHARED, file_.get(), 0));
    const Bytes pattern = RandomBytes(kStep);
    for (uint64_t at = 0; at < size; at += kStep) {
      std::memcpy(ram_ + at, pattern.data(), kStep);
      ram_[at] ^= static_cast<uint8_t>(at / kStep);
    }
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() { munmap(ram_, size_); }

  // As a worker has it, with a mapping of its own.
  RamBlocks Blocks() const {
    memory::RamSource source;
    source.way = memory::RamSource::Way::kFile;
    source.bytes = size_;
    source.mappable = true;
    source.memory = UniqueFd(dup(file_.get()));
    RamBlocks blocks;
    blocks.push_back(std::make_unique<memory::RamBlock>(std::move(source)));
    return blocks;
  }
  uint8_t* ram() { return ram_; }
  [[nodiscard]] uint64_t size() const { return size_; }

 private:
  const uint64_t size_;
  const UniqueFd file_;
  uint8_t* ram_ = nullptr;
};

RegionPages Region(uint64_t size, HashAlgorithm algorithm) {
  return {.grid = memory::PageGrid({{0, size}}, memory::kPageSize),
          .algorithm = algorithm,
          .digests = {},
          .tags = {},
          .known = {}};
}

void Measure(RamBlocks& blocks, const MeasureOptions& options,
             RegionPages& region) {
  const auto view = GuestView::Make(blocks, {{region.grid.ranges()[0], 0, 0}});
  if (!view.ok() || !MeasurePages(*view, nullptr, options, region).ok()) {
    std::abort();
  }
}

// The same pages, as fast as they can be hashed where they lie.
void HashInMemory(const uint8_t* data, uint64_t size, Bytes& out) {
  RunOnThreads(kThreads, size / kStep, [&](size_t step) {
    const size_t pages = kStep / memory::kPageSize;
    HashPieces(HashAlgorithm::kBlake3, {data + step * kStep, kStep},
               memory::kPageSize,
               std::span(out).subspan(step * pages * 32, pages * 32));
  });
}

void BM_PageDigestsOfSharedMemory(benchmark::State& state) {
  Guest guest(kGuest);
  Bytes out(kGuest / memory::kPageSize * 32);
  Cost in_memory;
  Cost first;
  Cost later;
  for (auto _ : state) {
    in_memory.Add([&] { HashInMemory(guest.ram(), kGuest, out); });
    RamBlocks blocks = guest.Blocks();
    RegionPages region = Region(kGuest, HashAlgorithm::kBlake3);
    const MeasureOptions options{.threads = kThreads};
    first.Add([&] { Measure(blocks, options, region); });
    for (int i = 0; i < 3; ++i) {
      later.Add([&] { Measure(blocks, options, region); });
      in_memory.Add([&] { HashInMemory(guest.ram(), kGuest, out); });
    }
    if (region.digests != out) {
      std::abort();
    }
  }
  state.counters["memory_GBps"] = kGuest / in_memory.wall / 1e9;
  state.counters["first_over_memory"] = in_memory.wall / first.wall;
  state.counters["later_over_memory"] = in_memory.wall / later.wall;
  state.counters["first_cpu"] = in_memory.cpu / first.cpu;
  state.counters["later_cpu"] = in_memory.cpu / later.cpu;
}
BENCHMARK(BM_PageDigestsOfSharedMemory)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(3)
    ->UseRealTime();

void BM_OnePercentDirty(benchmark::State& state) {
  Guest guest(kGuest / 4);
  const SecretBytes key(RandomBytes(PieceTagger::kKeySize));
  Cost full;
  Cost dirty;
  for (auto _ : state) {
    RamBlocks blocks = guest.Blocks();
    RegionPages plain = Region(guest.size(), HashAlgorithm::kSha256);
    Measure(blocks, {.threads = kThreads}, plain);
    full.Add([&] { Measure(blocks, {.threads = kThreads}, plain); });
    RegionPages tagged = Region(guest.size(), HashAlgorithm::kSha256);
    const MeasureOptions options{.threads = kThreads, .tag_key = &key};
    Measure(blocks, options, tagged);
    for (uint64_t at = 0; at < guest.size(); at += 100 * memory::kPageSize) {
      ++guest.ram()[at];
    }
    dirty.Add([&] { Measure(blocks, options, tagged); });
  }
  state.counters["dirty_over_full"] = dirty.wall / full.wall;
  state.counters["dirty_cpu"] = dirty.cpu / full.cpu;
}
BENCHMARK(BM_OnePercentDirty)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(3)
    ->UseRealTime();

}  // namespace
}  // namespace vmattest::worker

BENCHMARK_MAIN();
