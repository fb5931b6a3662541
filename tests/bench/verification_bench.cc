// What a decision costs with its store, and what memory VMs cost a verifier.
#include <benchmark/benchmark.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fmt/format.h"
#include "support/verifier_rig.h"
#include "verification/sqlite/sqlite_verifier_store.h"

namespace vmattest::verification {
namespace {

using testing::EvidenceBuilder;
using testing::SoftHost;
using testing::VerifierRig;

size_t RssKib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "VmRSS:") {
      size_t kib = 0;
      status >> kib;
      return kib;
    }
  }
  return 0;
}

std::unique_ptr<SqliteVerifierStore> NewStore() {
  const auto file =
      std::filesystem::temp_directory_path() /
      fmt::format("verification-bench-{}", static_cast<int>(getpid()));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(file.string() + suffix);
  }
  return SqliteVerifierStore::Open(file).value();
}

void BM_AppraiseOverSqlite(benchmark::State& state) {
  const auto store = NewStore();
  VerifierRig rig(store.get());
  const SoftHost host;
  rig.Enroll("spiffe://t/host", host).value();
  const EvidenceBuilder builder(host);
  rig.references
      .PutDocument(rig.Sign(rig.Learned(builder, "web")), VerifierRig::AllVms)
      .value();
  const Bytes evidence = builder.BuildFile();
  for (auto _ : state) {
    const auto result = rig.Appraise(evidence);
    if (!result.ok() || !result->decision.trusted) {
      state.SkipWithError("refused");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_AppraiseOverSqlite)->UseRealTime();

// Each VM has a reference of its own, and a decision.
void BM_MemoryPerVm(benchmark::State& state) {
  const int vms = static_cast<int>(state.range(0));
  for (auto _ : state) {
    const auto store = NewStore();
    VerifierRig rig(store.get());
    const SoftHost host;
    rig.Enroll("spiffe://t/host", host).value();
    EvidenceBuilder builder(host);
    const size_t before = RssKib();
    for (int i = 0; i < vms; ++i) {
      builder.header.vm_uuid =
          fmt::format("00000000-0000-4000-8000-{:012x}", i + 1);
      rig.references
          .PutDocument(rig.Sign(rig.Learned(builder, fmt::format("vm-{}", i))),
                       VerifierRig::AllVms)
          .value();
      if (!rig.Appraise(builder.BuildFile())->decision.trusted) {
        state.SkipWithError("refused");
        return;
      }
    }
    state.counters["kib_per_vm"] = static_cast<double>(RssKib() - before) / vms;
  }
}
BENCHMARK(BM_MemoryPerVm)->Arg(10'000)->Iterations(1)->Unit(benchmark::kSecond);

}  // namespace
}  // namespace vmattest::verification

BENCHMARK_MAIN();
