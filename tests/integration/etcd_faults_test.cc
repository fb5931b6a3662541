// The stores over three real etcd servers that get killed, stopped and rolled
// back. What holds over every store is in tests/contract/ledger_fault_suite.h.
#include <atomic>
#include <thread>

#include "base/mutex.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "ledger/etcd/etcd_log_store.h"
#include "rpc/tls_files.h"
#include "support/etcd_cluster.h"
#include "support/matchers.h"
#include "support/test_pki.h"

namespace vmattest::testing {
namespace {

using etcd::GrpcKeyValues;
using ledger::EtcdLogStore;
using ledger::LogBatch;
using ledger::LogHead;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kPrefix[] = "/vmattest/ledger/test/";
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
constexpr auto kDeadline = absl::StatusCode::kDeadlineExceeded;

MonotonicTime In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

// A ledger node.
struct Node {
  explicit Node(const GrpcKeyValues::Options& options,
                std::chrono::milliseconds timeout = std::chrono::seconds(10))
      : etcd(GrpcKeyValues::Create(options).value()),
        store(EtcdLogStore::Open(*etcd, {.prefix = kPrefix,
                                         .timeout = timeout,
                                         .lease = std::chrono::seconds(3)})
                  .value()) {}
  const std::unique_ptr<GrpcKeyValues> etcd;
  const std::unique_ptr<EtcdLogStore> store;
};

LogBatch Batch(const LogHead& before, uint64_t number) {
  LogBatch batch{.before = before, .after = before};
  for (int i = 0; i < 4; ++i) {
    batch.records.push_back(ToBytes(fmt::format("record {} of {}", i, number)));
  }
  batch.after.size += batch.records.size();
  batch.after.root.assign(32, 0);
  for (size_t i = 0; i < 8; ++i) {
    batch.after.root[i] = static_cast<uint8_t>(number >> (8 * i));
  }
  batch.after.root[9] = 1;
  return batch;
}

// Appends until it is stopped, as a leader that resumes after each fault.
class Load {
 public:
  explicit Load(ledger::LogStore& store)
      : store_(store), thread_([this] { Run(); }) {}
  ~Load() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  [[nodiscard]] size_t acknowledged() {
    const MutexLock lock(mutex_);
    return acknowledged_;
  }
  // False: not within a minute.
  bool Reaches(size_t acknowledged) {
    const MonotonicTime until = In(std::chrono::minutes(1));
    const MutexLock lock(mutex_);
    while (acknowledged_ < acknowledged) {
      if (!grown_.WaitUntil(mutex_, until)) {
        return false;
      }
    }
    return true;
  }
  [[nodiscard]] size_t failed() const { return failed_; }
  // After Stop(): at which record what was acknowledged began.
  [[nodiscard]] const std::vector<LogBatch>& batches() const {
    return batches_;
  }

 private:
  void Run() {
    for (uint64_t number = 1; !stop_; ++number) {
      const auto lead = store_.Lead("node");
      const auto head = store_.Head();
      if (!lead.ok() || !lead->mine || !head.ok()) {
        ++failed_;
        continue;
      }
      const LogBatch batch = Batch(*head, number);
      if (store_.Append(batch).ok()) {
        batches_.push_back(batch);
        const MutexLock lock(mutex_);
        ++acknowledged_;
        grown_.NotifyAll();
      } else {
        ++failed_;
      }
    }
  }

  ledger::LogStore& store_;
  std::vector<LogBatch> batches_;
  std::atomic<bool> stop_ = false;
  Mutex mutex_;
  CondVar grown_;
  size_t acknowledged_ GUARDED_BY(mutex_) = 0;
  std::atomic<size_t> failed_ = 0;
  std::thread thread_;
};

std::vector<Bytes> All(ledger::LogStore& store) {
  std::vector<Bytes> all;
  const uint64_t size = store.Head().value().size;
  while (all.size() < size) {
    const auto page = store.Records(all.size(), size);
    EXPECT_THAT(page, IsOk());
    if (!page.ok()) {
      break;
    }
    all.insert(all.end(), page->begin(), page->end());
  }
  return all;
}

void ExpectAllOf(const Load& load, const std::vector<Bytes>& records) {
  for (const LogBatch& batch : load.batches()) {
    for (size_t i = 0; i < batch.records.size(); ++i) {
      ASSERT_LT(batch.before.size + i, records.size());
      ASSERT_EQ(records[batch.before.size + i], batch.records[i]);
    }
  }
}

class EtcdFaults : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { rpc::DemandTls13(); }
  GrpcKeyValues::Options Options(const std::string& user = "ledger") {
    return cluster_.Client(user);
  }

  EtcdCluster cluster_;
};

TEST_F(EtcdFaults, NothingAcknowledgedIsLostWhenTheLeaderIsKilled) {
  Node node(Options());
  Load load(*node.store);
  ASSERT_TRUE(load.Reaches(50));
  for (int round = 0; round < 2; ++round) {
    const size_t leader = cluster_.Leader();
    cluster_.Kill(leader);
    const size_t before = load.acknowledged();
    EXPECT_TRUE(load.Reaches(before + 50));
    cluster_.Start(leader);
    cluster_.AwaitHealthy();
  }
  // One that hangs instead.
  const size_t leader = cluster_.Leader();
  cluster_.Pause(leader);
  const size_t before = load.acknowledged();
  EXPECT_TRUE(load.Reaches(before + 50));
  cluster_.Continue(leader);
  load.Stop();
  RecordProperty("batches", static_cast<int>(load.acknowledged()));
  RecordProperty("failed", static_cast<int>(load.failed()));
  // Each server alone has it all.
  for (size_t i = 0; i < cluster_.size(); ++i) {
    GrpcKeyValues::Options options = Options();
    options.endpoints = {cluster_.endpoint(i)};
    Node reader(options);
    ExpectAllOf(load, All(*reader.store));
  }
}

TEST_F(EtcdFaults, WithoutAMajorityNothingIsAcknowledged) {
  Node node(Options(), std::chrono::seconds(3));
  ASSERT_TRUE(node.store->Lead("node")->mine);
  const LogHead empty = node.store->Head().value();
  const LogBatch first = Batch(empty, 1);
  ASSERT_THAT(node.store->Append(first), IsOk());
  cluster_.Kill(0);
  cluster_.Kill(1);
  EXPECT_THAT(node.store->Append(Batch(first.after, 2)),
              AnyOf(StatusIs(kUnavailable, HasSubstr("etcd at 127.0.0.1:")),
                    StatusIs(kDeadline, HasSubstr("etcd at 127.0.0.1:"))));
  EXPECT_THAT(node.store->Head(),
              AnyOf(StatusIs(kUnavailable, HasSubstr(kPrefix)),
                    StatusIs(kDeadline, HasSubstr(kPrefix))));
  cluster_.Start(0);
  cluster_.Start(1);
  cluster_.AwaitHealthy();
  Node again(Options());
  // The append was never acknowledged; should it be there, it is whole.
  const LogHead head = again.store->Head().value();
  EXPECT_THAT(head.size, AnyOf(4u, 8u));
  EXPECT_EQ(All(*again.store).size(), head.size);
  Load load(*again.store);
  EXPECT_TRUE(load.Reaches(10));
}

TEST_F(EtcdFaults, ARollbackOfAllServersIsNoticed) {
  etcd::Seen seen;
  const auto stop_all = [this] {
    for (size_t i = 0; i < cluster_.size(); ++i) {
      cluster_.Kill(i);
    }
  };
  const auto start_all = [this] {
    for (size_t i = 0; i < cluster_.size(); ++i) {
      cluster_.Start(i);
    }
    cluster_.AwaitHealthy();
  };
  Node running(Options());
  {
    Load load(*running.store);
    ASSERT_TRUE(load.Reaches(10));
  }
  stop_all();
  cluster_.SaveData();
  start_all();
  {
    Load load(*running.store);
    ASSERT_TRUE(load.Reaches(10));
  }
  seen = running.etcd->seen();
  const LogHead head = running.store->Head().value();
  stop_all();
  cluster_.RollBackData();
  start_all();
  // By who was there before...
  EXPECT_THAT(running.store->Head(),
              StatusIs(kDataLoss, HasSubstr("rolled back")));
  EXPECT_THAT(running.store->Append(Batch(head, 1'000'000)),
              StatusIs(kDataLoss));
  // ... and by who noted how far it was.
  GrpcKeyValues::Options noted = Options();
  noted.seen = seen;
  const auto etcd = GrpcKeyValues::Create(noted).value();
  EXPECT_THAT(EtcdLogStore::Open(*etcd, {.prefix = kPrefix}),
              StatusIs(kDataLoss, HasSubstr("rolled back")));
  // Who was not there cannot know; and other clusters are not mistaken for it.
  EXPECT_THAT(Node(Options()).store->Head(), IsOk());
  noted.seen.cluster_id ^= 1;
  const auto other = GrpcKeyValues::Create(noted).value();
  EXPECT_THAT(EtcdLogStore::Open(*other, {.prefix = kPrefix}),
              StatusIs(kDataLoss, HasSubstr("cluster")));
}

TEST_F(EtcdFaults, OnlyItsUsersAndNewServersAreTrusted) {
  const auto open = [](const GrpcKeyValues::Options& options) {
    const auto etcd = GrpcKeyValues::Create(options);
    return etcd.ok()
               ? (*etcd)
                     ->Transact(
                         {.writes = {etcd::Put{"/vmattest/ledger/x", "1"}}},
                         In(std::chrono::seconds(4)))
                     .status()
               : etcd.status();
  };
  EXPECT_THAT(open(Options()), IsOk());
  EXPECT_THAT(open(Options("reader")),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       HasSubstr("/vmattest/ledger/x")));
  GrpcKeyValues::Options safe = Options();
  safe.allow_unsafe_version = false;
  EXPECT_THAT(open(safe), StatusIs(absl::StatusCode::kFailedPrecondition,
                                   HasSubstr("3.5.33")));
  // A stranger's certificate, and a stranger's servers.
  TestPki stranger;
  const CertificateFiles files = stranger.Issue("ledger", {});
  GrpcKeyValues::Options client = Options();
  client.certificate = files.certificate;
  client.private_key = files.private_key;
  EXPECT_THAT(open(client), Not(IsOk()));
  GrpcKeyValues::Options server = Options();
  server.ca = stranger.ca();
  EXPECT_THAT(open(server), StatusIs(kUnavailable));
}

}  // namespace
}  // namespace vmattest::testing
