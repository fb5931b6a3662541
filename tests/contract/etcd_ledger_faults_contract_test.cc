// The ledger's faults over a real etcd: a client that is killed at each of its
// transactions, a data directory that is copied back, keys that are changed, a
// quota that is used up. What its servers go through as three is in
// tests/integration/etcd_faults_test.cc.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "contract/ledger_fault_suite.h"
#include "fmt/format.h"
#include "ledger/etcd/etcd_log_store.h"
#include "ledger/etcd/log_codec.h"
#include "rpc/tls_files.h"
#include "support/etcd_cluster.h"

namespace vmattest::testing {
namespace {

using etcd::GrpcKeyValues;
using ledger::EtcdLogStore;

constexpr auto kLimit = std::chrono::seconds(20);

MonotonicTime Limit() { return std::chrono::steady_clock::now() + kLimit; }

absl::StatusOr<std::unique_ptr<EtcdLogStore>> OpenIn(
    etcd::KeyValues& etcd, const std::string& prefix) {
  return EtcdLogStore::Open(
      etcd, {.prefix = prefix, .timeout = kLimit, .lease = kLimit});
}

// One server for all beds of the program.
EtcdCluster& Server() {
  static EtcdCluster server(EtcdCluster::Options{.nodes = 1});
  return server;
}

class EtcdFaultBed final : public LedgerFaultBed {
 public:
  EtcdFaultBed() {
    rpc::DemandTls13();
    Connect();
  }
  absl::StatusOr<std::unique_ptr<ledger::LogStore>> Open() override {
    // The lease of a leader that died.
    ASSIGN_OR_RETURN(const etcd::RangeResult leader,
                     etcd_->Range({.key = prefix_ + "seq/leader"}, Limit()));
    if (!leader.kvs.empty()) {
      RETURN_IF_ERROR(etcd_->RevokeLease(leader.kvs[0].lease, Limit()));
    }
    ASSIGN_OR_RETURN(std::unique_ptr<EtcdLogStore> store,
                     OpenIn(*etcd_, prefix_));
    return store;
  }
  void Begin(const std::function<void()>& fill) override {
    prefix_ = NewPrefix();
    fill();
  }
  // The second is more than one transaction holds.
  [[nodiscard]] std::vector<Kills> kills() const override {
    return {{.work = {.batches = 2, .records = 8}, .least = 4},
            {.work = {.batches = 2, .records = 128, .record_size = 12'000},
             .least = 6}};
  }
  Death Append(const AppendWork& work, long write, Cut cut) override {
    std::vector<std::string> words = {VMATTEST_ETCD_FAULT_WRITER,
                                      Server().endpoint(0),
                                      client_.certificate,
                                      client_.private_key,
                                      client_.ca,
                                      prefix_,
                                      std::to_string(work.batches),
                                      std::to_string(work.records),
                                      std::to_string(work.record_size),
                                      std::to_string(write),
                                      cut == Cut::kBefore ? "before"
                                      : cut == Cut::kHalf ? "half"
                                                          : "after"};
    std::vector<char*> arguments;
    for (std::string& word : words) {
      arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    int told[2];
    EXPECT_EQ(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
      dup2(told[1], STDOUT_FILENO);
      close(told[0]);
      close(told[1]);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    close(told[1]);
    return Await(child, told[0]);
  }
  void Save() override {
    WhileDown([] { Server().SaveData(); });
  }
  void RollBack() override {
    WhileDown([] { Server().RollBackData(); });
  }
  void ChangeRecord(uint64_t index, const Change& change) override {
    const std::string bundle =
        prefix_ + fmt::format("b/{:016x}/", index / ledger::kBundle);
    ASSERT_OK_AND_ASSIGN(
        const etcd::RangeResult parts,
        etcd_->Range(
            {.key = bundle, .end = bundle + fmt::format("{:016x}", index + 1)},
            Limit()));
    ASSERT_FALSE(parts.kvs.empty());
    const etcd::KeyValue& part = parts.kvs.back();
    const uint64_t begin =
        std::stoull(part.key.substr(bundle.size()), nullptr, 16);
    ASSERT_OK_AND_ASSIGN(std::vector<Bytes> records,
                         ledger::DecodePart(part.value));
    ASSERT_LT(index - begin, records.size());
    change(records[index - begin]);
    Put(part.key, ledger::EncodePart(records, 0, records.size(), {}));
  }
  void ChangeTile(uint32_t level, uint64_t index,
                  const Change& change) override {
    const std::string key =
        prefix_ + fmt::format("t/{:02x}/{:016x}", level, index);
    ASSERT_OK_AND_ASSIGN(const etcd::RangeResult found,
                         etcd_->Range({.key = key}, Limit()));
    ASSERT_EQ(found.kvs.size(), 1u);
    Bytes hashes = ToBytes(found.kvs[0].value);
    change(hashes);
    Put(key, std::string(AsText(hashes)));
  }
  bool WithLittleRoom(const UseLittleRoom& use) override {
    EtcdCluster server(
        {.nodes = 1, .arguments = {"--quota-backend-bytes=4000000"}});
    const auto etcd = GrpcKeyValues::Create(server.Client()).value();
    const auto store = OpenIn(*etcd, prefix_).value();
    use(*store, [&server] {
      server.Etcdctl({"alarm", "disarm"});
      server.Kill(0);
      server.SetArguments({"--quota-backend-bytes=40000000"});
      server.Start(0);
      server.AwaitHealthy();
    });
    return true;
  }

 private:
  static std::string NewPrefix() {
    static int logs = 0;
    return fmt::format("/vmattest/ledger/faults-{}/", logs++);
  }
  void Connect() {
    client_ = Server().Client();
    etcd_ = GrpcKeyValues::Create(client_).value();
  }
  // As a node that was not there and saw no revisions.
  void WhileDown(const std::function<void()>& what) {
    etcd_.reset();
    Server().Kill(0);
    what();
    Server().Start(0);
    Server().AwaitHealthy();
    Connect();
  }
  void Put(const std::string& key, const std::string& value) {
    EXPECT_THAT(
        etcd_->Transact({.writes = {etcd::Put{key, value}}}, Limit()).status(),
        IsOk());
  }

  std::string prefix_ = NewPrefix();
  GrpcKeyValues::Options client_;
  std::unique_ptr<GrpcKeyValues> etcd_;
};

const LedgerFaultBody kEtcd = {"Etcd",
                               [] { return std::make_unique<EtcdFaultBed>(); }};

INSTANTIATE_TEST_SUITE_P(All, LedgerFaults, ::testing::Values(kEtcd),
                         LedgerFaultName);

}  // namespace
}  // namespace vmattest::testing
