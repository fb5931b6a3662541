// What it costs to have a decision on disk before it counts, against one raw
// SQLite commit of the same bytes; and the whole way onto a ledger in this
// process.
#include <benchmark/benchmark.h>

#include <atomic>

#include "bench/must.h"
#include "crypto/ecdsa_der.h"
#include "fmt/format.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "ledger/sqlite/sqlite_witness_store.h"
#include "outbox/local_authority.h"
#include "outbox/node_ledger.h"
#include "outbox/outbox.h"
#include "sqlite/schema.h"
#include "support/temp_dir.h"
#include "wire/messages.h"

namespace vmattest::outbox {
namespace {

constexpr char kOrigin[] = "ledger.example/bench";

v1::LedgerLaunchDecision Decision() {
  v1::LedgerLaunchDecision decision;
  decision.set_vm_id(std::string(16, 'v'));
  decision.set_mode("enforce");
  decision.set_reason("gate-refused");
  decision.set_config_root(std::string(32, 'r'));
  decision.set_reference("web@3");
  decision.set_result_hash(std::string(32, 'h'));
  return decision;
}

void BM_RawSqliteCommit(benchmark::State& state) {
  constexpr const char* kSteps[] = {
      "CREATE TABLE entry(id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB) "
      "STRICT;"};
  const testing::TempDir dir;
  sqlite::Database database =
      Must(sqlite::Database::Open(dir.path() / "raw", "raw"));
  Must(sqlite::PrepareSchema(
      database, {.application_id = 1, .steps = kSteps, .name = "raw"}));
  const auto insert =
      Must(database.Prepare("INSERT INTO entry(body) VALUES(?)"));
  v1::LedgerEntryBody body;
  *body.mutable_launch_decision() = Decision();
  const Bytes bytes = wire::Serialize(body);
  for (auto _ : state) {
    Must(database.Execute(insert).Bind(ByteView(bytes)).Run());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_RawSqliteCommit)->UseRealTime();

// A ledger that is away: what the gate waits for.
class Away final : public LedgerPort {
 public:
  absl::StatusOr<Answer> Submit(const Bytes&, MonotonicTime) override {
    return absl::UnavailableError("away");
  }
  absl::StatusOr<Writer> GetWriter(const std::string&, MonotonicTime) override {
    return absl::UnavailableError("away");
  }
  absl::StatusOr<Vm> GetVm(const Uuid&, MonotonicTime) override {
    return absl::UnavailableError("away");
  }
  absl::StatusOr<Size> GetSize(MonotonicTime) override {
    return absl::UnavailableError("away");
  }
};

struct Bench {
  explicit Bench(LedgerPort& to)
      : file(Must(OutboxFile::Open(dir.path() / "outbox.db", kOrigin))),
        homes({.file = *file, .ledger = to, .key = key, .clock = clock},
              kOrigin, std::chrono::hours(1)) {}
  Outbox::Parts Parts(LedgerPort& to) {
    return {.file = *file,
            .ledger = to,
            .homes = homes,
            .key = key,
            .clock = clock,
            .host_id = [] { return std::string("bench"); },
            .authorise = {},
            .register_vm = {}};
  }
  testing::TempDir dir;
  SystemClock clock;
  std::shared_ptr<const EcPrivateKey> key =
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate());
  std::unique_ptr<OutboxFile> file;
  Homes homes;
};

void BM_Enqueue(benchmark::State& state) {
  Away away;
  Bench bench(away);
  Outbox box(bench.Parts(away), {.origin = kOrigin,
                                 .max_queued = 10'000'000,
                                 .longest_pause = std::chrono::hours(1)});
  const v1::LedgerLaunchDecision decision = Decision();
  for (auto _ : state) {
    Must(box.Launch(decision, false).status());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Enqueue)->UseRealTime();

// Queued, signed, sent, committed by a node over SQLite, noted: one at a time.
void BM_ToALedgerHere(benchmark::State& state) {
  testing::TempDir dir;
  SystemClock clock;
  ThreadPool checkers("check", 2, 1'000);
  auto authority_key =
      Must(document::PrivateKey::Generate("authority", std::nullopt));
  std::shared_ptr<tlog::NoteSigner> signer = Must(tlog::EcdsaNoteSigner(
      kOrigin, std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate())));
  const auto node = Must(ledger::LedgerNode::Open(
      {.store = Must(ledger::SqliteLogStore::Open(dir.path() / "ledger.db")),
       .memory = Must(ledger::SqliteWitnessStore::Open(dir.path() / "m.db")),
       .witness = Must(ledger::SqliteWitnessStore::Open(dir.path() / "w.db")),
       .policy = {.origin = kOrigin,
                  .authorities = {authority_key.public_key()}},
       .witnesses = Must(tlog::WitnessPolicy::Parse(
           fmt::format("log {}\nquorum none\n", signer->vkey()))),
       .signers = {signer}},
      checkers, clock, {.sequencer = {.self = "bench"}}));
  NodeLedger port(*node);
  LocalAuthority authority(port, std::move(authority_key), kOrigin, clock);
  Bench bench(port);
  v1::LedgerHostAuthorise host;
  host.set_host_id("bench");
  host.set_key_spki(
      std::string(AsText(Must(EncodeSpki(bench.key->public_key())))));
  host.set_key_evidence_hash(std::string(32, 'k'));
  const MonotonicTime soon =
      std::chrono::steady_clock::now() + std::chrono::seconds(30);
  Must(authority.Authorise(host, soon));
  Uuid vm;
  vm.bytes.fill('v');
  Must(authority.Register(vm, "alice", soon));
  Outbox box(bench.Parts(port), {.origin = kOrigin, .max_queued = 10'000'000});
  for (auto _ : state) {
    const int64_t id = Must(box.Launch(Decision(), true));
    Must(box.AwaitCommitted(id, MonotonicTime::max()));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ToALedgerHere)->UseRealTime();

}  // namespace
}  // namespace vmattest::outbox

BENCHMARK_MAIN();
