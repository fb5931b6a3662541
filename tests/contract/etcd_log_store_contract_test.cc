// The LogStore contract over etcd, the fake one and real servers.
#include "contract/ledger_contract.h"
#include "fakes/fake_key_values.h"
#include "ledger/etcd/etcd_log_store.h"
#ifdef VMATTEST_WITH_ETCD
#include "contract/etcd_servers.h"
#endif

namespace vmattest::testing {
namespace {

using ledger::EtcdLogStore;

std::unique_ptr<ledger::LogStore> OpenLog(etcd::KeyValues& etcd,
                                          const std::string& prefix) {
  auto store = EtcdLogStore::Open(etcd, {.prefix = prefix,
                                         .timeout = std::chrono::seconds(20),
                                         .lease = std::chrono::seconds(20)});
  EXPECT_THAT(store, IsOk());
  return store.ok() ? *std::move(store) : nullptr;
}

#ifdef VMATTEST_WITH_ETCD
class ServersBed final : public LogStoreBed {
 public:
  std::unique_ptr<ledger::LogStore> Open() override {
    return OpenLog(*etcd_, prefix_);
  }
  void ExpireLeases() override { Servers().ExpireLeases(); }

 private:
  static std::string Prefix() {
    static int beds = 0;
    return "/vmattest/ledger/" + std::to_string(beds++) + "/";
  }
  const std::unique_ptr<etcd::KeyValues> etcd_ = ConnectToServers();
  const std::string prefix_ = Prefix();
};
const LogStoreBody kBody = {"ThreeServers",
                            [] { return std::make_unique<ServersBed>(); }};
#else
class FakeEtcdBed final : public LogStoreBed {
 public:
  std::unique_ptr<ledger::LogStore> Open() override {
    return OpenLog(etcd_, "/l/");
  }
  void ExpireLeases() override { etcd_.ExpireLeases(); }

 private:
  FakeKeyValues etcd_;
};

const LogStoreBody kBody = {"FakeEtcd",
                            [] { return std::make_unique<FakeEtcdBed>(); }};
#endif

INSTANTIATE_TEST_SUITE_P(Etcd, LogStoreContract, ::testing::Values(kBody),
                         LogStoreBodyName);
INSTANTIATE_TEST_SUITE_P(Etcd, LogStoreNodesContract, ::testing::Values(kBody),
                         LogStoreBodyName);
INSTANTIATE_TEST_SUITE_P(Etcd, LedgerContract, ::testing::Values(kBody),
                         LogStoreBodyName);
INSTANTIATE_TEST_SUITE_P(Etcd, LedgerNodesContract, ::testing::Values(kBody),
                         LogStoreBodyName);

}  // namespace
}  // namespace vmattest::testing
