// The audit of an exported log against the bare P-256 verifications in it.
#include <benchmark/benchmark.h>

#include <functional>

#include "bench/ledger_bench.h"
#include "ledger/audit.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "tlog/policy.h"

namespace vmattest::ledger {
namespace {

constexpr size_t kHosts = 200;
constexpr int kBare = 4'000;

// A log on disk as an auditor gets it.
class ExportedLog {
 public:
  ExportedLog()
      : store_(SqliteLogStore::Open(Fresh("audit")).value()), hosts_(kHosts) {
    if (!store_->Lead("bench").ok()) {
      std::abort();
    }
    log_ = Log::Open(*store_, hosts_.Policy(), {}).value();
    hosts_.AuthoriseAll(*log_, Now());
  }
  ExportedLog(const ExportedLog&) = delete;
  ExportedLog& operator=(const ExportedLog&) = delete;
  ~ExportedLog() { fs::remove_all(folder_); }

  Hosts& hosts() { return hosts_; }
  Log& log() { return *log_; }
  [[nodiscard]] const fs::path& folder() const { return folder_; }
  [[nodiscard]] const tlog::WitnessPolicy& witnesses() const {
    return *witnesses_;
  }

  void Write(size_t records, const std::function<Bytes(size_t)>& next) {
    for (size_t number = 0; number < records;) {
      std::vector<CheckedEntry> entries(kHosts);
      for (CheckedEntry& entry : entries) {
        entry.entry = ParseEntry(next(number++)).value();
        entry.key = log_->With(
            [&](const LogState& s) { return s.KeyFor(entry.entry); });
      }
      const auto outcomes = log_->Append(entries, Now());
      if (!outcomes.ok() || outcomes->back().refusal) {
        std::abort();
      }
    }
  }
  void Export() {
    const auto signer =
        tlog::EcdsaNoteSigner(kOrigin, std::make_shared<const EcPrivateKey>(
                                           EcPrivateKey::Generate()))
            .value();
    const LogHead head = log_->head();
    tlog::Note note{
        .text = tlog::EncodeCheckpoint(
            {.origin = kOrigin, .size = head.size, .root = head.root})};
    if (!tlog::AddSignature(note, *signer, 0).ok() ||
        !ExportLog(*store_, tlog::EncodeNote(note), folder_).ok()) {
      std::abort();
    }
    witnesses_ = tlog::WitnessPolicy::Parse(
                     fmt::format("log {}\nquorum none\n", signer->vkey()))
                     .value();
  }

 private:
  const fs::path folder_ = Fresh("export");
  std::unique_ptr<SqliteLogStore> store_;
  Hosts hosts_;
  std::unique_ptr<Log> log_;
  std::optional<tlog::WitnessPolicy> witnesses_;
};

// `per_core`, `results_per_core`: of a second of processor time, on however
// many processors. `ratio`: of entries to bare verifications.
void AuditAll(benchmark::State& state, const ExportedLog& log, size_t size,
              size_t results, size_t threads, const LogPolicy& policy) {
  Signatures signatures;
  double audited = 0;  // seconds of processor time
  double bare = 0;
  const auto verify = [&] {
    const double began = ProcessSeconds();
    for (int i = 0; i < kBare / 2; ++i) {
      benchmark::DoNotOptimize(signatures.VerifyNext());
    }
    bare += ProcessSeconds() - began;
  };
  for (auto _ : state) {
    state.PauseTiming();
    verify();
    const double before = ProcessSeconds();
    state.ResumeTiming();
    DirectorySource source(log.folder());
    const auto report = Audit(
        source,
        {.log = policy, .witnesses = log.witnesses(), .threads = threads});
    if (!report.ok() || !report->clean()) {
      state.SkipWithError("not clean");
      return;
    }
    audited += ProcessSeconds() - before;
    state.PauseTiming();
    verify();
    state.ResumeTiming();
  }
  const auto rounds = static_cast<double>(state.iterations());
  const double records = rounds * static_cast<double>(size);
  state.SetItemsProcessed(static_cast<int64_t>(records));
  state.counters["per_core"] = records / audited;
  state.counters["p256_per_core"] = rounds * kBare / bare;
  state.counters["ratio"] = records / audited / (rounds * kBare / bare);
  if (results > 0) {
    state.counters["results_per_core"] =
        rounds * static_cast<double>(results) / audited;
  }
}

void BM_Audit(benchmark::State& state) {
  constexpr size_t kRecords = 20'000;
  ExportedLog log;
  log.Write(kRecords, [&](size_t number) {
    return log.hosts().Next(number, Now().time_since_epoch().count());
  });
  log.Export();
  AuditAll(state, log, log.log().head().size, 0,
           static_cast<size_t>(state.range(0)), log.hosts().Policy());
}
BENCHMARK(BM_Audit)->Arg(1)->Arg(2)->Iterations(5)->UseRealTime()->Unit(
    benchmark::kMillisecond);

// What hosts write (rule S28): one entry for all results of a tick, with the
// VMs named of which there is news. A result is what one VM's score follows
// from.
void BM_AuditOfTicks(benchmark::State& state) {
  constexpr size_t kVms = 20;
  constexpr size_t kTicks = 50;
  ExportedLog log;
  log.hosts().LaunchVms(log.log(), kVms, Now());
  log.Write(kHosts * kTicks, [&](size_t number) {
    return log.hosts().Tick(number, static_cast<size_t>(state.range(0)),
                            Now().time_since_epoch().count());
  });
  log.Export();
  AuditAll(state, log, log.log().head().size, kHosts * kTicks * kVms, 1,
           log.hosts().Policy());
}
BENCHMARK(BM_AuditOfTicks)
    ->ArgName("named_of_20")
    ->Arg(2)
    ->Arg(20)
    ->Iterations(5)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest::ledger
