// The LogStore contract over the fake and over SQLite.
#include "contract/ledger_contract.h"
#include "fakes/fake_log_store.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "support/temp_dir.h"

namespace vmattest::testing {
namespace {

class FakeBed final : public LogStoreBed {
 public:
  std::unique_ptr<ledger::LogStore> Open() override {
    return std::make_unique<FakeLogStore>(shared_);
  }
  void ExpireLeases() override {
    const MutexLock lock(shared_->mutex);
    shared_->leader = nullptr;
  }

 private:
  const std::shared_ptr<FakeLogStore::Shared> shared_ =
      std::make_shared<FakeLogStore::Shared>();
};

class SqliteBed final : public LogStoreBed {
 public:
  std::unique_ptr<ledger::LogStore> Open() override {
    auto store = ledger::SqliteLogStore::Open(dir_.path() / "ledger.db");
    EXPECT_THAT(store, IsOk());
    return store.ok() ? *std::move(store) : nullptr;
  }

 private:
  TempDir dir_;
};

const LogStoreBody kFake = {"Fake", [] { return std::make_unique<FakeBed>(); }};
const LogStoreBody kSqlite = {"Sqlite",
                              [] { return std::make_unique<SqliteBed>(); }};

INSTANTIATE_TEST_SUITE_P(All, LogStoreContract,
                         ::testing::Values(kFake, kSqlite), LogStoreBodyName);
INSTANTIATE_TEST_SUITE_P(All, LogStoreNodesContract, ::testing::Values(kFake),
                         LogStoreBodyName);
INSTANTIATE_TEST_SUITE_P(All, LedgerContract, ::testing::Values(kFake, kSqlite),
                         LogStoreBodyName);
INSTANTIATE_TEST_SUITE_P(All, LedgerNodesContract, ::testing::Values(kFake),
                         LogStoreBodyName);

}  // namespace
}  // namespace vmattest::testing
