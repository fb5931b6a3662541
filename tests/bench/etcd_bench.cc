// The ledger's appends over three etcd servers on this machine, against the
// bare transaction that they are: the same keys and bytes through the generated
// stub, one server, nothing checked.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "base/executor.h"
#include "bench/ledger_bench.h"
#include "etcdserverpb/rpc.grpc.pb.h"
#include "fmt/format.h"
#include "grpcpp/client_context.h"
#include "ledger/etcd/etcd_log_store.h"
#include "ledger/sequencer.h"
#include "rpc/client/tls_channel.h"
#include "rpc/tls_files.h"
#include "support/etcd_cluster.h"

namespace vmattest {
namespace {

namespace pb = etcdserverpb;

constexpr size_t kRecordBytes = 700;

testing::EtcdCluster& Cluster() {
  static testing::EtcdCluster* const cluster = [] {
    rpc::DemandTls13();
    return new testing::EtcdCluster();
  }();
  return *cluster;
}

// The cluster's processes end with this one.
std::string NextPrefix() {
  static int count = 0;
  return fmt::format("/vmattest/bench/{}/", count++);
}

class BareAppends {
 public:
  BareAppends() {
    const etcd::GrpcKeyValues::Options options = Cluster().Client();
    stub_ = pb::KV::NewStub(rpc::TlsChannel(options.endpoints[0],
                                            {.certificate = options.certificate,
                                             .private_key = options.private_key,
                                             .ca = options.ca})
                                .value());
    pb::TxnRequest first;
    Put(first, "seq/leader", "bench");
    Put(first, "head", std::string(65, 'h'));
    revision_ = Send(first);
  }
  bool Append(size_t records) {
    pb::TxnRequest request;
    Compare(request, "head", pb::Compare::MOD, revision_);
    Compare(request, "seq/leader", pb::Compare::CREATE, leader_);
    Put(request, fmt::format("b/{:016x}/{:016x}", size_ / 256, size_),
        std::string(records * (kRecordBytes + 2) + 21, 'r'));
    const size_t width = size_ % 256 + records;
    Put(request, fmt::format("t/00/{:016x}", size_ / 256),
        std::string(std::min<size_t>(width, 256) * 32, 't'));
    Put(request, "head", std::string(65, 'h'));
    size_ += records;
    revision_ = Send(request);
    return revision_ != 0;
  }

 private:
  void Put(pb::TxnRequest& request, const std::string& key,
           std::string value) const {
    pb::PutRequest& put = *request.add_success()->mutable_request_put();
    put.set_key(prefix_ + key);
    put.set_value(std::move(value));
  }
  void Compare(pb::TxnRequest& request, const std::string& key,
               pb::Compare::CompareTarget target, int64_t revision) const {
    pb::Compare& compare = *request.add_compare();
    compare.set_key(prefix_ + key);
    compare.set_target(target);
    if (target == pb::Compare::MOD) {
      compare.set_mod_revision(revision);
    } else {
      compare.set_create_revision(revision);
    }
  }
  int64_t Send(const pb::TxnRequest& request) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    pb::TxnResponse response;
    if (!stub_->Txn(&context, request, &response).ok() ||
        !response.succeeded()) {
      return 0;
    }
    leader_ = leader_ == 0 ? response.header().revision() : leader_;
    return response.header().revision();
  }

  const std::string prefix_ = NextPrefix();
  std::unique_ptr<pb::KV::Stub> stub_;
  int64_t revision_ = 0;
  int64_t leader_ = 0;
  uint64_t size_ = 0;
};

class Ledger {
 public:
  Ledger()
      : etcd_(etcd::GrpcKeyValues::Create(Cluster().Client()).value()),
        store_(ledger::EtcdLogStore::Open(
                   *etcd_,
                   {.prefix = NextPrefix(), .lease = std::chrono::hours(1)})
                   .value()) {
    ready_ = store_->Lead("bench")->mine;
  }
  bool Append(size_t records) {
    ledger::LogBatch batch{.before = head_, .after = head_};
    batch.records.assign(records, Bytes(kRecordBytes, 1));
    batch.after.size += records;
    batch.after.root = Bytes(32, 2);
    const uint64_t first = head_.size / 256;
    const uint64_t last = (batch.after.size - 1) / 256;
    for (uint64_t index = first; index <= last; ++index) {
      const uint64_t width =
          std::min<uint64_t>(256, batch.after.size - index * 256);
      batch.tiles.push_back(
          {.level = 0, .index = index, .hashes = Bytes(width * 32, 3)});
    }
    const bool done = ready_ && store_->Append(batch).ok();
    head_ = batch.after;
    return done;
  }

 private:
  const std::unique_ptr<etcd::GrpcKeyValues> etcd_;
  const std::unique_ptr<ledger::EtcdLogStore> store_;
  ledger::LogHead head_ = ledger::EmptyHead();
  bool ready_ = false;
};

// Both in turns, so that they share the machine's moods.
void BM_AppendAgainstBareTransaction(benchmark::State& state) {
  const auto records = static_cast<size_t>(state.range(0));
  BareAppends bare;
  Ledger ours;
  std::chrono::duration<double> bare_time{0};
  std::chrono::duration<double> our_time{0};
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    const bool sent = bare.Append(records);
    const auto middle = std::chrono::steady_clock::now();
    if (!sent || !ours.Append(records)) {
      state.SkipWithError("refused");
      return;
    }
    bare_time += middle - begin;
    our_time += std::chrono::steady_clock::now() - middle;
  }
  const double count =
      static_cast<double>(state.iterations()) * static_cast<double>(records);
  state.counters["records/s"] = count / our_time.count();
  state.counters["bare/s"] = count / bare_time.count();
  state.counters["ratio"] = bare_time / our_time;
}
BENCHMARK(BM_AppendAgainstBareTransaction)
    ->Arg(1)
    ->Arg(8)
    ->Arg(64)
    ->UseRealTime();

// 500 entries a second of 64 hosts, each on its own, on the whole way: parsing,
// signature, rules, hashing, commit, answer.
void BM_AcknowledgementAt500PerSecond(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kApart = std::chrono::milliseconds(2);
  constexpr size_t kEntries = 2'500;
  const auto etcd = etcd::GrpcKeyValues::Create(Cluster().Client()).value();
  const auto store =
      ledger::EtcdLogStore::Open(
          *etcd, {.prefix = NextPrefix(), .lease = std::chrono::hours(1)})
          .value();
  if (!store->Lead("bench")->mine) {
    std::abort();
  }
  ledger::Hosts hosts(64);
  const auto log = ledger::Log::Open(*store, hosts.Policy(), {}).value();
  hosts.AuthoriseAll(*log, ledger::Now());
  std::vector<Bytes> entries;
  for (size_t i = 0; i < kEntries; ++i) {
    entries.push_back(hosts.Next(i, ledger::Now().time_since_epoch().count()));
  }
  std::vector<double> times(kEntries);
  for (auto _ : state) {
    std::vector<std::promise<bool>> answers(kEntries);
    const SystemClock clock;
    ThreadPool checkers("check", std::thread::hardware_concurrency(), 10'000);
    ledger::Sequencer sequencer(*log, checkers, clock, {.self = "bench"});
    auto next = Clock::now();
    for (size_t i = 0; i < kEntries; ++i) {
      next += kApart;
      std::this_thread::sleep_until(next);
      const absl::Status queued = sequencer.Submit(
          std::move(entries[i]), [&, i, sent = next](auto got) {
            const std::chrono::duration<double, std::milli> time =
                Clock::now() - sent;
            times[i] = time.count();
            answers[i].set_value(got.ok() && !got->refusal);
          });
      if (!queued.ok()) {
        std::abort();
      }
    }
    for (std::promise<bool>& answer : answers) {
      if (!answer.get_future().get()) {
        std::abort();
      }
    }
  }
  std::sort(times.begin(), times.end());
  state.counters["p50_ms"] = times[times.size() / 2];
  state.counters["p99_ms"] = times[times.size() * 99 / 100];
  state.counters["most_ms"] = times.back();
}
BENCHMARK(BM_AcknowledgementAt500PerSecond)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
