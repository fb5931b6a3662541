// The ledger over three real etcd servers that get killed and rolled back.
#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "crypto/ecdsa_der.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "ledger/etcd/etcd_log_store.h"
#include "ledger/node.h"
#include "ledger/sqlite/sqlite_witness_store.h"
#include "outbox/local_authority.h"
#include "outbox/node_ledger.h"
#include "outbox/outbox.h"
#include "rpc/tls_files.h"
#include "support/etcd_cluster.h"
#include "support/sequencer_client.h"
#include "support/temp_dir.h"

namespace vmattest::testing {
namespace {

using etcd::GrpcKeyValues;
using ledger::EtcdLogStore;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPrefix[] = "/vmattest/ledger/test/";

// A ledger node of one cluster.
struct Node {
  Node(const GrpcKeyValues::Options& options, const LedgerRig& rig,
       std::chrono::milliseconds timeout = std::chrono::seconds(4))
      : etcd(GrpcKeyValues::Create(options).value()),
        store(EtcdLogStore::Open(*etcd, {.prefix = kPrefix,
                                         .timeout = timeout,
                                         .lease = std::chrono::seconds(3)})
                  .value()),
        log(*store, rig, "node") {}
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
    // Servers end with the thread that started them: this one.
    std::thread load([&] {
      while (!stop || acknowledged.size() < 200) {
        const Bytes entry = Notice();
        acknowledged[SubmitAlways(node, entry)] = entry;
      }
    });
    for (int round = 0; round < 2; ++round) {
      const size_t leader = cluster_.Leader();
      cluster_.Kill(leader);
      cluster_.Start(leader);
      cluster_.AwaitHealthy();
    }
    stop = true;
    load.join();
  }
  RecordProperty("acknowledged", static_cast<int>(acknowledged.size()));
  RecordProperty("failed", failed_);
  // Each server alone has it all, and nothing twice: Open() checks that each
  // host's sequence has neither gap nor repetition.
  for (size_t i = 0; i < cluster_.size(); ++i) {
    GrpcKeyValues::Options options = cluster_.Client();
    options.endpoints = {cluster_.endpoint(i)};
    Node reader(options, rig_, std::chrono::seconds(30));
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

// A ledger node with all its parts. What it signed is on a disk of its own; it
// signs once it is there, and when it ends.
struct WholeNode {
  WholeNode(const GrpcKeyValues::Options& options,
            const std::filesystem::path& state, const ledger::LogPolicy& policy,
            const std::shared_ptr<const EcPrivateKey>& key)
      : etcd(GrpcKeyValues::Create(options).value()) {
    const std::shared_ptr<tlog::NoteSigner> signer =
        *tlog::EcdsaNoteSigner(policy.origin, key);
    node =
        ledger::LedgerNode::Open(
            {.store =
                 EtcdLogStore::Open(*etcd, {.prefix = kPrefix,
                                            .timeout = std::chrono::seconds(4),
                                            .lease = std::chrono::seconds(3)})
                     .value(),
             .memory =
                 ledger::SqliteWitnessStore::Open(state / "node.db").value(),
             .witness =
                 ledger::SqliteWitnessStore::Open(state / "witness.db").value(),
             .policy = policy,
             .witnesses = *tlog::WitnessPolicy::Parse(
                 fmt::format("log {}\nquorum none\n", signer->vkey())),
             .signers = {signer}},
            checkers, clock,
            {.sequencer = {.self = "node"},
             .checkpoint_interval = std::chrono::hours(1)})
            .value();
    port = std::make_unique<outbox::NodeLedger>(*node);
  }
  const SystemClock clock;
  ThreadPool checkers{"ledger-check", 1, 100};
  const std::unique_ptr<GrpcKeyValues> etcd;
  std::unique_ptr<ledger::LedgerNode> node;
  std::unique_ptr<outbox::NodeLedger> port;
};

// A host's line to the ledger node that there is.
class LineToNode final : public outbox::LedgerPort {
 public:
  void Connect(std::shared_ptr<WholeNode> node) {
    const MutexLock lock(mutex_);
    node_ = std::move(node);
  }
  [[nodiscard]] std::shared_ptr<WholeNode> node() const {
    const MutexLock lock(mutex_);
    return node_;
  }
  absl::StatusOr<Answer> Submit(const Bytes& entry,
                                MonotonicTime deadline) override {
    return Ask([&](LedgerPort& port) { return port.Submit(entry, deadline); });
  }
  absl::StatusOr<Writer> GetWriter(const std::string& writer,
                                   MonotonicTime deadline) override {
    return Ask(
        [&](LedgerPort& port) { return port.GetWriter(writer, deadline); });
  }
  absl::StatusOr<Vm> GetVm(const Uuid& vm, MonotonicTime deadline) override {
    return Ask([&](LedgerPort& port) { return port.GetVm(vm, deadline); });
  }
  absl::StatusOr<Size> GetSize(MonotonicTime deadline) override {
    return Ask([&](LedgerPort& port) { return port.GetSize(deadline); });
  }

 private:
  template <class Call>
  auto Ask(Call call) -> decltype(call(std::declval<LedgerPort&>())) {
    const std::shared_ptr<WholeNode> node = this->node();
    if (node == nullptr) {
      return absl::UnavailableError("there is no node");
    }
    return call(*node->port);
  }

  mutable Mutex mutex_;
  std::shared_ptr<WholeNode> node_ GUARDED_BY(mutex_);
};

class EtcdOutboxFaults : public EtcdLedgerFaults {
 protected:
  static constexpr char kHost[] = "h1";

  EtcdOutboxFaults() {
    rpc::DemandTls13();
    v1::LedgerHostAuthorise host;
    host.set_host_id(kHost);
    host.set_ek_fingerprint("its ek");
    host.set_key_spki(std::string(AsText(*EncodeSpki(key_->public_key()))));
    host.set_key_evidence_hash(std::string(32, 'k'));
    box_ = std::make_unique<outbox::Outbox>(
        outbox::Outbox::Parts{.file = *file_,
                              .ledger = line_,
                              .homes = homes_,
                              .key = key_,
                              .clock = clock_,
                              .host_id = [] { return std::string(kHost); },
                              .authorise =
                                  [this, host](MonotonicTime deadline) {
                                    return authority_.Authorise(host, deadline);
                                  },
                              .register_vm = {}},
        outbox::Outbox::Options{
            .origin = LedgerRig::kOrigin,
            .call_limit = std::chrono::seconds(5),
            .longest_pause = std::chrono::milliseconds(500),
            .look_interval = std::chrono::milliseconds(50)});
  }
  // Ends the node that there is and starts one that saw nothing of etcd.
  void StartNode() {
    line_.Connect(nullptr);
    line_.Connect(std::make_shared<WholeNode>(cluster_.Client(), disk_.path(),
                                              policy_, node_key_));
  }
  void Tell(int number) {
    v1::LedgerNotice event;
    event.set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
    event.set_text(fmt::format("event {}", number));
    ASSERT_THAT(box_->Event(event), IsOk());
  }
  // Within a minute.
  bool Reaches(const std::function<bool(const outbox::Outbox::State&)>& what) {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < until) {
      if (what(box_->state())) {
        return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  // What the ledger has of the host, oldest first.
  std::vector<Bytes> Written() {
    std::vector<Bytes> entries;
    ledger::Log& log = line_.node()->node->log();
    for (uint64_t index = 0; index < log.head().size; ++index) {
      const auto record = log.Read(index);
      const auto entry =
          record.ok() ? ledger::ParseEntry(record->entry) : record.status();
      EXPECT_THAT(entry, IsOk());
      if (entry.ok() && entry->Writer() == kHost) {
        entries.push_back(record->entry);
      }
    }
    return entries;
  }
  static std::vector<std::string> Texts(const std::vector<Bytes>& entries) {
    std::vector<std::string> texts;
    for (const Bytes& entry : entries) {
      texts.push_back(ledger::ParseEntry(entry)->body.notice().text());
    }
    return texts;
  }

  const SystemClock clock_;
  const TempDir disk_;  // of the node
  const TempDir host_disk_;
  document::PrivateKey authority_key_ =
      *document::PrivateKey::Generate("authority@test", std::nullopt);
  const ledger::LogPolicy policy_{.origin = LedgerRig::kOrigin,
                                  .authorities = {authority_key_.public_key()}};
  const std::shared_ptr<const EcPrivateKey> node_key_ =
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate());
  const std::shared_ptr<const EcPrivateKey> key_ =
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate());
  LineToNode line_;
  outbox::LocalAuthority authority_{line_, std::move(authority_key_),
                                    LedgerRig::kOrigin, clock_};
  const std::unique_ptr<outbox::OutboxFile> file_ = *outbox::OutboxFile::Open(
      host_disk_.path() / "outbox.db", LedgerRig::kOrigin);
  outbox::Homes homes_{
      {.file = *file_, .ledger = line_, .key = key_, .clock = clock_},
      LedgerRig::kOrigin,
      std::chrono::hours(24)};
  std::unique_ptr<outbox::Outbox> box_;
};

TEST_F(EtcdOutboxFaults, ARollbackIsNamedAndTheOutboxBringsBackWhatWasLost) {
  using State = outbox::Outbox::State;
  const auto all_sent = [](const State& state) {
    return state.counts.waiting == 0;
  };
  StartNode();
  for (int i = 0; i < 3; ++i) {
    Tell(i);
  }
  ASSERT_TRUE(Reaches(all_sent));
  // Signed for, and so gone from the outbox.
  StartNode();
  ASSERT_TRUE(Reaches([](const State& state) {
    return state.counts.unwitnessed == 0;
  })) << box_->state().counts.unwitnessed;
  KillAll();
  cluster_.SaveData();
  StartAll();
  for (int i = 3; i < 8; ++i) {
    Tell(i);
  }
  ASSERT_TRUE(Reaches(all_sent)) << box_->state().health;
  EXPECT_EQ(box_->state().counts.unwitnessed, 5u);
  const std::vector<Bytes> before = Written();
  ASSERT_EQ(before.size(), 8u);

  KillAll();
  cluster_.RollBackData();
  StartAll();
  Tell(8);
  // Named, and nothing is taken any more.
  ASSERT_TRUE(Reaches([](const State& state) {
    return state.health.message().find("rolled back") != std::string::npos;
  })) << box_->state().health;
  EXPECT_EQ(box_->state().counts.waiting, 1u);

  // Somebody decided. What was signed for is there, or it would not open.
  StartNode();
  ASSERT_TRUE(Reaches([&](const State& state) {
    return state.resent > 0 && all_sent(state);
  })) << box_->state().health;
  EXPECT_EQ(box_->state().resent, 5u);
  const std::vector<Bytes> after = Written();
  EXPECT_THAT(Texts(after),
              ElementsAre("event 0", "event 1", "event 2", "event 3", "event 4",
                          "event 5", "event 6", "event 7", "event 8"));
  // The same bytes: nobody else's copy of them became false.
  EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin()));
  EXPECT_TRUE(Reaches([](const State& state) { return state.health.ok(); }))
      << box_->state().health;
}

}  // namespace
}  // namespace vmattest::testing
