// What comparing a snapshot of 2 GiB with its baseline costs, by how much has
// changed: the host's walk, and the verifier's proof, naming and score; against
// making the whole tree. Bytes moved are a counter.

#include <benchmark/benchmark.h>

#include "baseline/difference.h"
#include "baseline/score.h"
#include "support/made_snapshot.h"

namespace vmattest::baseline {
namespace {

constexpr uint64_t kPages = 524'288;

const MadeSnapshot& Before() {
  static const auto& made = *[] {
    auto* snapshot = new MadeSnapshot();
    snapshot->AddRegion("ram", kPages);
    snapshot->Seal();
    return snapshot;
  }();
  return made;
}

const LoadedBaseline& Loaded() {
  static const auto& loaded = *new std::shared_ptr(Before().Load());
  return *loaded;
}

MadeSnapshot Changed(uint64_t pages) {
  MadeSnapshot made = Before();
  for (uint64_t i = 0; i < pages; ++i) {
    made.ChangePage(0, i * (kPages / pages), ~i);
  }
  made.Seal();
  return made;
}

void BM_WholeTree(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        DigestTree(MadeSnapshot::kAlgorithm, Before().pages.regions[0].digests)
            .Root());
  }
}
BENCHMARK(BM_WholeTree)->Unit(benchmark::kMillisecond);

// With the tree of its own snapshot, which a host makes in any case.
void BM_HostWalk(benchmark::State& state) {
  const MadeSnapshot now = Changed(static_cast<uint64_t>(state.range(0)));
  size_t moved = 0;
  for (auto _ : state) {
    LocalNodes nodes(Loaded());
    const auto delta = MakeDelta(Loaded().baseline(), now.statement, now.pages,
                                 nodes, kShortPrefix);
    moved = nodes.bytes + EncodeDelta(*delta).size();
  }
  state.counters["bytes_moved"] = static_cast<double>(moved);
}
BENCHMARK(BM_HostWalk)
    ->RangeMultiplier(10)
    ->Range(1, 100'000)
    ->Unit(benchmark::kMillisecond);

void BM_VerifierProof(benchmark::State& state) {
  const MadeSnapshot now = Changed(static_cast<uint64_t>(state.range(0)));
  const Bytes delta = EncodeDelta(DeltaOf(Loaded(), now));
  for (auto _ : state) {
    const Applied applied =
        ApplyDelta(Loaded(), now.statement, *ParseDelta(delta));
    benchmark::DoNotOptimize(
        Score(CompareSnapshot(Loaded(), now.statement, applied)));
  }
}
BENCHMARK(BM_VerifierProof)
    ->RangeMultiplier(10)
    ->Range(1, 100'000)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest::baseline
