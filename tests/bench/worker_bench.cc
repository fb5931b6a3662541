#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "image/header_parser.h"
#include "inspection/worker/worker_header_parser.h"
#include "inspection/worker/worker_pool.h"
#include "support/temp_dir.h"

// What it costs that headers are parsed in another process.

namespace vmattest::inspection {
namespace {

std::string Qcow2() {
  ByteWriter writer;
  writer.Raw("QFI\xfb").U32(2).U64(0).U32(0).U32(16).U64(1 << 20);
  writer.Raw(Bytes(65536 - 32, 0));
  return std::string(AsText(writer.bytes()));
}

struct Bed {
  explicit Bed(size_t spares) {
    WorkerPoolOptions options;
    options.program = VMATTEST_HEADER_WORKER;
    options = ForHeaders(options);
    options.spares = spares;
    pool = std::make_unique<WorkerPool>(options);
    file = *image::OpenContent(dir.Write("image", Qcow2()));
  }
  testing::TempDir dir;
  std::unique_ptr<WorkerPool> pool;
  image::ContentFile file;
};

void ParseMany(benchmark::State& state, image::HeaderParser& parser,
               const image::ContentFile& file, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (!parser.Parse(file, "image", "qcow2").ok()) {
      state.SkipWithError("a header was not parsed");
    }
  }
}

void InThisProcess(benchmark::State& state) {
  const Bed bed(0);
  image::DirectHeaderParser parser;
  for (auto _ : state) {
    ParseMany(state, parser, bed.file, 1);
  }
}
BENCHMARK(InThisProcess)->Unit(benchmark::kMicrosecond)->UseRealTime();

// A process for a domain, from its start to the last of its headers.
void NewProcessForADomain(benchmark::State& state) {
  const Bed bed(0);
  for (auto _ : state) {
    WorkerHeaderParser parser(*bed.pool);
    ParseMany(state, parser, bed.file, state.range(0));
  }
}
BENCHMARK(NewProcessForADomain)
    ->Arg(1)
    ->Arg(6)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

// The same with one started ahead, as the daemon has it, and with the time to
// start it between two domains.
void SpareProcessForADomain(benchmark::State& state) {
  const Bed bed(1);
  std::vector<double> times;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    {
      WorkerHeaderParser parser(*bed.pool);
      ParseMany(state, parser, bed.file, state.range(0));
    }
    times.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
            .count());
    state.SetIterationTime(times.back());
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
  }
  std::sort(times.begin(), times.end());
  state.counters["least_us"] = times.front() * 1e6;
  state.counters["p50_us"] = times[times.size() / 2] * 1e6;
}
BENCHMARK(SpareProcessForADomain)
    ->Arg(1)
    ->Arg(6)
    ->Iterations(100)
    ->Unit(benchmark::kMicrosecond)
    ->UseManualTime();

}  // namespace
}  // namespace vmattest::inspection

BENCHMARK_MAIN();
