// The ledger over three real etcd servers that get killed and rolled back.
#include <atomic>
#include <map>
#include <thread>

#include "gmock/gmock.h"
#include "ledger/etcd/etcd_log_store.h"
#include "rpc/tls_files.h"
#include "support/etcd_cluster.h"
#include "support/sequencer_client.h"

namespace vmattest::testing {
namespace {

using etcd::GrpcKeyValues;
using ledger::EtcdLogStore;
using ledger::Log;
using ledger::LogHead;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kPrefix[] = "/vmattest/ledger/test/";

// A ledger node of one cluster.
struct Node {
  Node(const GrpcKeyValues::Options& options, const LedgerRig& rig,
       Log::Trusted trusted = {})
      : etcd(GrpcKeyValues::Create(options).value()),
        store(EtcdLogStore::Open(*etcd, {.prefix = kPrefix,
                                         .timeout = std::chrono::seconds(4),
                                         .lease = std::chrono::seconds(3)})
                  .value()),
        log(*store, rig, "node", std::move(trusted)) {}
  const std::unique_ptr<GrpcKeyValues> etcd;
  const std::unique_ptr<EtcdLogStore> store;
  SequencedLog log;
};

class EtcdLedgerFaults : public ::testing::Test {
 protected:
  EtcdLedgerFaults() {
    rpc::DemandTls13();
    rig_.time_ms = SystemClock().Now().time_since_epoch().count();
  }
  // Until it is in: the same bytes again, as a host's outbox does. The index.
  uint64_t SubmitAlways(Node& node, const Bytes& entry) {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::seconds(90);
    while (std::chrono::steady_clock::now() < until) {
      const auto got = node.log.Submit(entry);
      if (got.ok()) {
        EXPECT_FALSE(got->refusal) << got->refusal->code;
        rig_.Accepted(*ledger::ParseEntry(entry));
        return got->index;
      }
      ++failed_;
    }
    ADD_FAILURE() << "not in time";
    return 0;
  }
  Bytes Notice() const {
    return rig_.ByHost("h1", [](v1::LedgerEntryBody& body) {
      body.mutable_notice()->set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
    });
  }
  void KillAll() {
    for (size_t i = 0; i < cluster_.size(); ++i) {
      cluster_.Kill(i);
    }
  }
  void StartAll() {
    for (size_t i = 0; i < cluster_.size(); ++i) {
      cluster_.Start(i);
    }
    cluster_.AwaitHealthy();
  }

  EtcdCluster cluster_;
  LedgerRig rig_;
  int failed_ = 0;
};

TEST_F(EtcdLedgerFaults, ALeaderKilledInMidLoadLosesNothing) {
  std::map<uint64_t, Bytes> acknowledged;
  {
    Node node(cluster_.Client(), rig_);
    SubmitAlways(node, rig_.Authorise("h1"));
    std::atomic<bool> stop = false;
    std::thread chaos([&] {
      for (int round = 0; round < 2; ++round) {
        const size_t leader = cluster_.Leader();
        cluster_.Kill(leader);
        cluster_.Start(leader);
        cluster_.AwaitHealthy();
      }
      stop = true;
    });
    while (!stop || acknowledged.size() < 200) {
      const Bytes entry = Notice();
      acknowledged[SubmitAlways(node, entry)] = entry;
    }
    chaos.join();
  }
  RecordProperty("acknowledged", static_cast<int>(acknowledged.size()));
  RecordProperty("failed", failed_);
  // Each server alone has it all, and nothing twice: Open() checks that each
  // host's sequence has neither gap nor repetition.
  for (size_t i = 0; i < cluster_.size(); ++i) {
    GrpcKeyValues::Options options = cluster_.Client();
    options.endpoints = {cluster_.endpoint(i)};
    Node reader(options, rig_);
    EXPECT_EQ(reader.log.log().head().size, acknowledged.size() + 1);
    for (const auto& [index, entry] : acknowledged) {
      ASSERT_OK_AND_ASSIGN(const ledger::Record record,
                           reader.log.log().Read(index));
      ASSERT_EQ(record.entry, entry);
    }
  }
}

TEST_F(EtcdLedgerFaults, WithoutAMajorityItSaysSoAndAcknowledgesNothing) {
  Node node(cluster_.Client(), rig_);
  SubmitAlways(node, rig_.Authorise("h1"));
  cluster_.Kill(0);
  cluster_.Kill(1);
  const Bytes entry = Notice();
  EXPECT_THAT(
      node.log.Submit(entry),
      AnyOf(
          StatusIs(absl::StatusCode::kUnavailable, HasSubstr("etcd at")),
          StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("etcd at"))));
  cluster_.Start(0);
  cluster_.Start(1);
  cluster_.AwaitHealthy();
  EXPECT_EQ(SubmitAlways(node, entry), 1u);
  EXPECT_EQ(node.log.log().head().size, 2u);
}

TEST_F(EtcdLedgerFaults, ARollbackIsNamedAndWhatWasLostComesBackFromTheHosts) {
  std::vector<Bytes> unwitnessed;
  LogHead witnessed;
  {
    Node node(cluster_.Client(), rig_);
    SubmitAlways(node, rig_.Authorise("h1"));
    SubmitAlways(node, Notice());
    witnessed = node.log.log().head();
    KillAll();
    cluster_.SaveData();
    StartAll();
    for (int i = 0; i < 5; ++i) {
      unwitnessed.push_back(Notice());
      EXPECT_EQ(SubmitAlways(node, unwitnessed.back()), witnessed.size + i);
    }
    KillAll();
    cluster_.RollBackData();
    StartAll();
    // Named by the node that was there, and nothing is taken any more.
    EXPECT_THAT(node.log.log().CatchUp(), StatusIs(absl::StatusCode::kDataLoss,
                                                   HasSubstr("rolled back")));
    EXPECT_THAT(
        node.log.Submit(unwitnessed[0]),
        StatusIs(absl::StatusCode::kDataLoss, HasSubstr("rolled back")));
  }
  // Somebody decided. What was witnessed is there, or it would not open.
  Node again(cluster_.Client(), rig_, {witnessed.size, witnessed.root});
  EXPECT_EQ(again.log.log().head(), witnessed);
  for (size_t i = 0; i < unwitnessed.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(const auto got, again.log.Submit(unwitnessed[i]));
    EXPECT_FALSE(got.refusal.has_value());
    EXPECT_EQ(got.index, witnessed.size + i);
  }
}

}  // namespace
}  // namespace vmattest::testing
