// The ledger's goal as one figure: the whole way of entries over SQLite against
// the smaller of raw SQLite at that batch size and all cores' bare P-256
// verifications, measured in turns.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <latch>
#include <thread>

#include "bench/ledger_bench.h"
#include "ledger/sequencer.h"
#include "ledger/sqlite/sqlite_log_store.h"

namespace vmattest::ledger {
namespace {

constexpr size_t kHosts = 64;
constexpr size_t kEntriesOfARound = 2'560;
constexpr int kSignaturesOfARound = 1'000;

struct Rate {
  double wall = 0;       // of a second
  double processor = 0;  // of a second of processor time, on all cores
};

template <class Work>
Rate Measure(double count, const Work& work) {
  const auto began = std::chrono::steady_clock::now();
  const double before = ProcessSeconds();
  work();
  const double processor = ProcessSeconds() - before;
  const std::chrono::duration<double> wall =
      std::chrono::steady_clock::now() - began;
  return {.wall = count / wall.count(), .processor = count / processor};
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The whole way of an entry: parsing, its signature, the rules, hashing, the
// commit, the answer.
class Ours {
 public:
  explicit Ours(size_t batch)
      : store_(SqliteLogStore::Open(Fresh("goal")).value()),
        hosts_(kHosts),
        checkers_("check", std::thread::hardware_concurrency(), 10'000) {
    if (!store_->Lead("bench").ok()) {
      std::abort();
    }
    log_ = Log::Open(*store_, hosts_.Policy(), {}).value();
    hosts_.AuthoriseAll(*log_, Now());
    sequencer_.emplace(*log_, checkers_, clock_,
                       Sequencer::Options{.most = batch, .self = "bench"});
  }
  Rate Round() {
    std::vector<Bytes> entries;
    for (size_t i = 0; i < kEntriesOfARound; ++i) {
      entries.push_back(hosts_.Next(i, Now().time_since_epoch().count()));
    }
    return Measure(kEntriesOfARound, [&] { SubmitAll(std::move(entries)); });
  }

 private:
  void SubmitAll(std::vector<Bytes> entries) {
    std::latch open(static_cast<ptrdiff_t>(entries.size()));
    for (Bytes& entry : entries) {
      const absl::Status queued =
          sequencer_->Submit(std::move(entry), [&open](auto got) {
            if (!got.ok() || got->refusal) {
              std::abort();
            }
            open.count_down();
          });
      if (!queued.ok()) {
        std::abort();
      }
    }
    open.wait();
  }

  std::unique_ptr<SqliteLogStore> store_;
  Hosts hosts_;
  std::unique_ptr<Log> log_;
  const SystemClock clock_;
  ThreadPool checkers_;
  std::optional<Sequencer> sequencer_;
};

// `ratio`: by the clock. `ratio_processor`: what one verification costs by
// itself of what one entry costs, which is the ratio of a machine that does
// nothing else where P-256 is the limit (`p256_is_limit`).
void BM_Goal(benchmark::State& state) {
  const int64_t batch = state.range(0);
  const auto cores = static_cast<double>(std::thread::hardware_concurrency());
  Signatures signatures;
  RawSqlite raw("goal-raw");
  Ours ours(static_cast<size_t>(batch));
  std::vector<double> of_p256;
  std::vector<double> of_raw;
  std::vector<double> of_ours;
  std::vector<double> ratio;
  std::vector<double> ratio_processor;
  const auto verify = [&signatures] {
    return Measure(kSignaturesOfARound, [&signatures] {
      for (int i = 0; i < kSignaturesOfARound; ++i) {
        benchmark::DoNotOptimize(signatures.VerifyNext());
      }
    });
  };
  for (auto _ : state) {
    const Rate before = verify();
    const Rate sqlite = Measure(kEntriesOfARound, [&] {
      for (size_t i = 0; i < kEntriesOfARound;
           i += static_cast<size_t>(batch)) {
        benchmark::DoNotOptimize(raw.WriteBatch(batch));
      }
    });
    const Rate entries = ours.Round();
    // The processor's clock is another from one moment to the next.
    const Rate after = verify();
    const Rate p256{.wall = (before.wall + after.wall) / 2,
                    .processor = (before.processor + after.processor) / 2};
    of_p256.push_back(p256.wall);
    of_raw.push_back(sqlite.wall);
    of_ours.push_back(entries.wall);
    ratio.push_back(entries.wall / std::min(sqlite.wall, cores * p256.wall));
    ratio_processor.push_back(entries.processor / p256.processor);
  }
  state.counters["p256_per_core"] = Median(of_p256);
  state.counters["raw_sqlite"] = Median(of_raw);
  state.counters["ledger"] = Median(of_ours);
  state.counters["p256_is_limit"] =
      cores * Median(of_p256) < Median(of_raw) ? 1 : 0;
  state.counters["ratio"] = Median(ratio);
  state.counters["ratio_processor"] = Median(ratio_processor);
}
BENCHMARK(BM_Goal)->Arg(1)->Arg(8)->Arg(64)->Iterations(9)->UseRealTime()->Unit(
    benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest::ledger
