#ifndef VMATTEST_TESTS_CONTRACT_LOG_STORE_CONTRACT_H_
#define VMATTEST_TESTS_CONTRACT_LOG_STORE_CONTRACT_H_

#include <functional>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "ledger/log_store.h"
#include "support/matchers.h"

// What every LogStore does, and what those do that many nodes share. A program
// instantiates them over its bodies:
//   INSTANTIATE_TEST_SUITE_P(Etcd, LogStoreContract, Values(body), BodyName);

namespace vmattest::testing {

// Where a log lives during a test: an empty one when it is made.
class LogStoreBed {
 public:
  virtual ~LogStoreBed() = default;
  // A node's view of the log; under LogStoreNodesContract several at once.
  virtual std::unique_ptr<ledger::LogStore> Open() = 0;
  // What is left of leadership when a node dies without resigning has run out
  // once this returns.
  virtual void ExpireLeases() {}
};

struct LogStoreBody {
  const char* name;
  std::function<std::unique_ptr<LogStoreBed>()> make;
};

inline std::string LogStoreBodyName(
    const ::testing::TestParamInfo<LogStoreBody>& info) {
  return info.param.name;
}

class LogStoreContract : public ::testing::TestWithParam<LogStoreBody> {
 protected:
  void SetUp() override {
    bed_ = GetParam().make();
    ASSERT_NE(bed_, nullptr);
    store_ = bed_->Open();
    ASSERT_NE(store_, nullptr);
  }

  // `count` records on `before`; the roots are told apart by `salt`. Stores do
  // not look into hashes.
  static ledger::LogBatch Batch(const ledger::LogHead& before, size_t count,
                                uint8_t salt = 0) {
    ledger::LogBatch batch{.before = before, .after = before};
    for (size_t i = 0; i < count; ++i) {
      Bytes record(40, static_cast<uint8_t>(before.size + i));
      record[0] = salt;
      batch.records.push_back(std::move(record));
    }
    batch.after.size += count;
    batch.after.root = Bytes(32, static_cast<uint8_t>(batch.after.size));
    batch.after.root[0] = salt;
    batch.after.time_unix_ms += 1'000;
    const uint64_t first = before.size / 256;
    for (uint64_t index = first; index * 256 < batch.after.size; ++index) {
      const size_t width =
          std::min<uint64_t>(256, batch.after.size - index * 256);
      batch.tiles.push_back(
          {.level = 0, .index = index, .hashes = Bytes(width * 32, salt)});
    }
    return batch;
  }
  void Lead() {
    ASSERT_OK_AND_ASSIGN(const ledger::Leadership got, store_->Lead("node-1"));
    ASSERT_TRUE(got.mine);
  }
  ledger::LogHead Grow(size_t count, uint8_t salt = 0) {
    const absl::StatusOr<ledger::LogHead> before = store_->Head();
    EXPECT_THAT(before, IsOk());
    const ledger::LogBatch batch = Batch(*before, count, salt);
    EXPECT_THAT(store_->Append(batch), IsOk());
    return batch.after;
  }

  std::unique_ptr<LogStoreBed> bed_;
  std::unique_ptr<ledger::LogStore> store_;
};

class LogStoreNodesContract : public LogStoreContract {};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_CONTRACT_LOG_STORE_CONTRACT_H_
