// The ledger against what it stands on: raw SQLite in the shape of its
// batches, and bare P-256 verifications.
#include <benchmark/benchmark.h>

#include "bench/ledger_bench.h"

#include <future>
#include <string>

#include "ledger/audit.h"
#include "ledger/sequencer.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "merkle/tree.h"
#include "tlog/policy.h"

namespace vmattest::ledger {
namespace {

// One core's limit.
void BM_VerifyP256(benchmark::State& state) {
  Signatures signatures;
  for (auto _ : state) {
    if (!signatures.VerifyNext()) {
      state.SkipWithError("wrong");
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_VerifyP256);

void BM_RawSqlite(benchmark::State& state) {
  RawSqlite raw("raw");
  for (auto _ : state) {
    if (!raw.WriteBatch(state.range(0))) {
      state.SkipWithError("SQLite");
    }
  }
  state.SetItemsProcessed(raw.written());
}
BENCHMARK(BM_RawSqlite)->Arg(1)->Iterations(4'000)->UseRealTime();
BENCHMARK(BM_RawSqlite)->Arg(8)->Iterations(1'000)->UseRealTime();
BENCHMARK(BM_RawSqlite)->Arg(64)->Iterations(200)->UseRealTime();

// Rules, hashing and the commit, batch after batch as the competitor writes;
// signatures are checked on other threads.
void BM_Append(benchmark::State& state) {
  const auto batch = static_cast<size_t>(state.range(0));
  auto store = SqliteLogStore::Open(Fresh("append")).value();
  if (!store->Lead("bench").ok()) {
    std::abort();
  }
  Hosts hosts(batch);
  const auto log = Log::Open(*store, hosts.Policy(), {}).value();
  hosts.AuthoriseAll(*log, Now());
  std::vector<std::vector<CheckedEntry>> batches(
      static_cast<size_t>(state.max_iterations));
  size_t number = 0;
  for (std::vector<CheckedEntry>& entries : batches) {
    entries.resize(batch);
    for (CheckedEntry& entry : entries) {
      entry.entry =
          ParseEntry(hosts.Next(number++, Now().time_since_epoch().count()))
              .value();
      entry.key =
          log->With([&](const LogState& s) { return s.KeyFor(entry.entry); });
    }
  }
  size_t next = 0;
  for (auto _ : state) {
    const auto outcomes = log->Append(batches[next++], Now());
    if (!outcomes.ok() || !outcomes->back().index) {
      state.SkipWithError("refused");
      return;
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(number));
}
BENCHMARK(BM_Append)->Arg(1)->Iterations(4'000)->UseRealTime();
BENCHMARK(BM_Append)->Arg(8)->Iterations(1'000)->UseRealTime();
BENCHMARK(BM_Append)->Arg(64)->Iterations(200)->UseRealTime();

// Everything: 64 hosts at once, signatures on two threads.
void BM_Sequencer(benchmark::State& state) {
  constexpr size_t kHosts = 64;
  constexpr size_t kEach = 40;
  auto store = SqliteLogStore::Open(Fresh("sequencer")).value();
  Hosts hosts(kHosts);
  if (!store->Lead("bench").ok()) {
    std::abort();
  }
  const auto log = Log::Open(*store, hosts.Policy(), {}).value();
  hosts.AuthoriseAll(*log, Now());
  const SystemClock clock;
  ThreadPool checkers("check", 2, 10'000);
  Sequencer sequencer(*log, checkers, clock, {.self = "bench"});
  int64_t done = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<Bytes> entries;
    for (size_t i = 0; i < kHosts * kEach; ++i) {
      entries.push_back(hosts.Next(i, Now().time_since_epoch().count()));
    }
    std::vector<std::promise<bool>> answers(entries.size());
    state.ResumeTiming();
    for (size_t i = 0; i < entries.size(); ++i) {
      if (!sequencer
               .Submit(std::move(entries[i]),
                       [&answers, i](auto got) {
                         answers[i].set_value(got.ok() && !got->refusal);
                       })
               .ok()) {
        std::abort();
      }
    }
    for (std::promise<bool>& answer : answers) {
      if (!answer.get_future().get()) {
        state.SkipWithError("refused");
        return;
      }
    }
    done += static_cast<int64_t>(answers.size());
  }
  state.SetItemsProcessed(done);
  const Sequencer::Stats stats = sequencer.stats();
  state.counters["entries_per_batch"] =
      static_cast<double>(stats.committed) / static_cast<double>(stats.batches);
}
BENCHMARK(BM_Sequencer)->UseRealTime()->Unit(benchmark::kMillisecond);

Uuid Vm(uint8_t number) {
  Uuid id;
  id.bytes[15] = number;
  return id;
}

void BM_RecomputeScores(benchmark::State& state) {
  for (auto _ : state) {
    trust::Fold fold;
    int64_t time = 1'700'000'000'000;
    for (uint8_t vm = 0; vm < 100; ++vm) {
      fold.Register({.index = vm, .time_ms = time}, Vm(vm), "owner");
      fold.Start({.index = vm, .time_ms = time}, Vm(vm), "host");
    }
    for (uint64_t i = 0; i < 100'000; ++i) {
      fold.Result({.index = 100 + i, .time_ms = time += 50},
                  Vm(static_cast<uint8_t>(i % 100)), i % 10 != 0);
    }
    fold.Witnessed(UINT64_MAX);
    benchmark::DoNotOptimize(fold.Read(Vm(7), time));
  }
  state.SetItemsProcessed(state.iterations() * 100'000);
}
BENCHMARK(BM_RecomputeScores)->Unit(benchmark::kMillisecond);

void BM_ScoreOfAMillionEntries(benchmark::State& state) {
  trust::Fold fold;
  int64_t time = 1'700'000'000'000;
  fold.Register({.index = 0, .time_ms = time}, Vm(1), "owner");
  fold.Start({.index = 1, .time_ms = time}, Vm(1), "host");
  for (uint64_t i = 2; i < 1'000'000; ++i) {
    fold.Result({.index = i, .time_ms = time += 5'000}, Vm(1), i % 7 != 0);
    if (i % 1'000 == 0) {
      fold.Witnessed(i);
    }
  }
  fold.Witnessed(UINT64_MAX);
  for (auto _ : state) {
    benchmark::DoNotOptimize(fold.Read(Vm(1), time + 3'000));
  }
}
BENCHMARK(BM_ScoreOfAMillionEntries)->Unit(benchmark::kMicrosecond);

// Tiles of ten million records in SQLite; their hashes are anybody's.
void BM_InclusionProofOfTenMillion(benchmark::State& state) {
  constexpr uint64_t kSize = 10'000'000;
  const fs::path path = Fresh("proof");
  { auto made = SqliteLogStore::Open(path).value(); }
  {
    sqlite::Database database = sqlite::Database::Open(path, "proof").value();
    const auto put = database.Prepare("INSERT INTO tile VALUES(?, ?)").value();
    sqlite::Transaction transaction(database);
    bool good = transaction.Begin().ok();
    for (uint64_t level = 0; level < 3; ++level) {
      for (uint64_t index = 0;; ++index) {
        const size_t width =
            tlog::TileWidthAt(static_cast<uint32_t>(level), index, kSize);
        if (width == 0) {
          break;
        }
        const Bytes hashes(width * 32, static_cast<uint8_t>(index));
        sqlite::Query query = database.Execute(put);
        good = good && query.Bind(static_cast<int64_t>(level << 56 | index))
                           .Bind(ByteView(hashes))
                           .Run()
                           .ok();
      }
    }
    if (!good || !transaction.Commit().ok()) {
      std::abort();
    }
  }
  auto store = SqliteLogStore::Open(path).value();
  uint64_t index = 1;
  for (auto _ : state) {
    index = (index * 48'271 + 11) % kSize;
    tlog::TileTree tree(
        [&](uint32_t level, uint64_t tile, size_t) -> absl::StatusOr<Bytes> {
          ASSIGN_OR_RETURN(HashTile found, store->Tile(level, tile));
          return std::move(found.hashes);
        },
        kSize);
    const auto found_path = tree.InclusionProof(index);
    if (!found_path.ok() || found_path->empty()) {
      state.SkipWithError("no proof");
    }
  }
  store.reset();
  fs::remove(path);
}
BENCHMARK(BM_InclusionProofOfTenMillion)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace vmattest::ledger

BENCHMARK_MAIN();
