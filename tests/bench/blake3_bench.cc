// BLAKE3: the tree driver against libblake3's own update loop, in one process,
// alternating, best time of each: the ratio is what is claimed.
//   per_core   tree on one thread / update loop      target >= 1.2
//   two_cores  tree on two threads / update loop     target >= 1.8

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>

#include "blake3.h"
#include "crypto/blake3_tree.h"
#include "crypto/digest.h"

namespace vmattest {
namespace {

constexpr size_t kSize = size_t{192} << 20;

const Bytes& Data() {
  static const Bytes data = RandomBytes(kSize);
  return data;
}

DigestBytes UpdateLoop(ByteView data) {
  blake3_hasher hasher;
  blake3_hasher_init(&hasher);
  for (size_t at = 0; at < data.size(); at += size_t{1} << 16) {
    blake3_hasher_update(&hasher, data.data() + at,
                         std::min(size_t{1} << 16, data.size() - at));
  }
  DigestBytes digest(BLAKE3_OUT_LEN);
  blake3_hasher_finalize(&hasher, digest.data(), digest.size());
  return digest;
}

double Seconds(const std::function<DigestBytes()>& hash,
               const DigestBytes& expected) {
  const auto begin = std::chrono::steady_clock::now();
  if (hash() != expected) {
    std::abort();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

void BM_Blake3TreeOverUpdateLoop(benchmark::State& state) {
  const auto threads = static_cast<size_t>(state.range(0));
  ThreadPool pool("hash", std::max<size_t>(1, threads - 1), threads);
  const DigestBytes expected = UpdateLoop(Data());
  double loop = 1e9;
  double tree = 1e9;
  for (auto _ : state) {
    loop = std::min(loop, Seconds([] { return UpdateLoop(Data()); }, expected));
    tree = std::min(
        tree, Seconds([&] { return Blake3(Data(), pool, threads); }, expected));
  }
  state.counters["loop_GBps"] = kSize / loop / 1e9;
  state.counters["tree_GBps"] = kSize / tree / 1e9;
  state.counters[threads == 1 ? "per_core" : "two_cores"] = loop / tree;
}
BENCHMARK(BM_Blake3TreeOverUpdateLoop)
    ->Arg(1)
    ->Arg(2)
    ->Iterations(60)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void BM_MerkleLeaf(benchmark::State& state) {
  const Bytes leaf = RandomBytes(80);
  const uint8_t prefix[] = {0};
  for (auto _ : state) {
    benchmark::DoNotOptimize(HashParts(HashAlgorithm::kSha256, {prefix, leaf}));
  }
}
BENCHMARK(BM_MerkleLeaf);

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
