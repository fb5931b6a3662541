// What the contract cannot ask for: answers that get lost, leaders that come
// back, batches larger than a transaction, etcd rolled back.
#include "ledger/etcd/etcd_log_store.h"

#include "fakes/fake_key_values.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::testing {
namespace {

using etcd::Delete;
using etcd::Put;
using ledger::EtcdLogStore;
using ledger::LogBatch;
using ledger::LogHead;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Fate = FakeKeyValues::Fate;

constexpr auto kAborted = absl::StatusCode::kAborted;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

class EtcdLogStoreTest : public ::testing::Test {
 protected:
  static MonotonicTime Soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds(10);
  }
  std::unique_ptr<EtcdLogStore> Open() {
    return EtcdLogStore::Open(
               etcd_,
               {.prefix = "/l/", .timeout = std::chrono::milliseconds(300)})
        .value();
  }
  std::unique_ptr<EtcdLogStore> OpenLeader(const std::string& name = "a") {
    auto store = Open();
    EXPECT_TRUE(store->Lead(name)->mine);
    return store;
  }
  static LogBatch Batch(const LogHead& before, size_t count, size_t size = 40,
                        uint8_t fill = 1) {
    LogBatch batch{.before = before, .after = before};
    batch.records.assign(count, Bytes(size, fill));
    batch.after.size += count;
    batch.after.root = Bytes(32, static_cast<uint8_t>(batch.after.size + fill));
    batch.tiles = {{.level = 0, .index = 0, .hashes = Bytes(32, fill)}};
    return batch;
  }
  std::vector<Bytes> All(ledger::LogStore& store) {
    std::vector<Bytes> all;
    const uint64_t size = store.Head()->size;
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
  // Someone who may write to etcd, and does.
  void Write(const std::string& key, const std::string& value) {
    ASSERT_TRUE(etcd_.Transact({.writes = {Put{key, value}}}, Soon())->done);
  }

  FakeKeyValues etcd_;
};

TEST_F(EtcdLogStoreTest, AppendsOnceThoughTheAnswerWasLost) {
  const auto store = OpenLeader();
  const LogBatch one = Batch(ledger::EmptyHead(), 3);
  ASSERT_THAT(store->Append(one), IsOk());
  const LogBatch two = Batch(one.after, 2);
  etcd_.NextTransactions({Fate::kUnheard});
  ASSERT_THAT(store->Append(two), IsOk());
  const LogBatch three = Batch(two.after, 1);
  etcd_.NextTransactions({Fate::kLate, Fate::kLost});
  ASSERT_THAT(store->Append(three), IsOk());
  EXPECT_EQ(*Open()->Head(), three.after);
  EXPECT_THAT(All(*store), SizeIs(6));
}

TEST_F(EtcdLogStoreTest, SaysThatNobodyKnowsRatherThanNo) {
  const auto store = OpenLeader();
  const LogBatch one = Batch(ledger::EmptyHead(), 3);
  ASSERT_THAT(store->Append(one), IsOk());
  etcd_.NextTransactions(std::vector<Fate>(100, Fate::kLost));
  EXPECT_THAT(store->Append(Batch(one.after, 1)),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("nobody knows whether")));
  etcd_.NextTransactions({});
  EXPECT_EQ(*store->Head(), one.after);
}

TEST_F(EtcdLogStoreTest, APausedLeaderThatWakesChangesNothing) {
  const auto old = OpenLeader("old");
  const LogBatch one = Batch(ledger::EmptyHead(), 3);
  ASSERT_THAT(old->Append(one), IsOk());
  // Between its reading and its writing.
  std::unique_ptr<EtcdLogStore> next;
  etcd_.BeforeTransactions([&] {
    etcd_.BeforeTransactions({});
    etcd_.ExpireLeases();
    next = OpenLeader("next");
  });
  EXPECT_THAT(old->Append(Batch(one.after, 1)), StatusIs(kAborted));
  EXPECT_EQ(*next->Head(), one.after);
  EXPECT_FALSE(old->Lead("old")->mine);
}

TEST_F(EtcdLogStoreTest, LargeBatchesAreDoneAsAWhole) {
  const auto store = OpenLeader();
  const LogBatch one = Batch(ledger::EmptyHead(), 100, 65'535);
  ASSERT_THAT(store->Append(one), IsOk());
  EXPECT_EQ(All(*store), one.records);
  const LogBatch two = Batch(one.after, 256, 60'000, 2);
  const std::unique_ptr<EtcdLogStore> reader = Open();
  size_t looks = 0;
  etcd_.BeforeTransactions([&] {
    ++looks;
    EXPECT_EQ(reader->Head()->size, 100u);
    EXPECT_THAT(All(*reader), SizeIs(100));
  });
  ASSERT_THAT(store->Append(two), IsOk());
  EXPECT_GT(looks, 10u);
  etcd_.BeforeTransactions({});
  EXPECT_THAT(All(*reader), SizeIs(356));
}

TEST_F(EtcdLogStoreTest, WhatAnUnfinishedBatchLeftIsNeverRead) {
  const auto store = OpenLeader();
  const LogBatch one = Batch(ledger::EmptyHead(), 3);
  ASSERT_THAT(store->Append(one), IsOk());
  size_t calls = 0;
  etcd_.BeforeTransactions([&] {
    if (++calls == 3) {
      etcd_.ExpireLeases();  // in the middle
    }
  });
  EXPECT_THAT(store->Append(Batch(one.after, 256, 60'000, 9)),
              StatusIs(kAborted));
  etcd_.BeforeTransactions({});
  EXPECT_THAT(All(*Open()), SizeIs(3));
  const auto next = OpenLeader("next");
  // Other parts than those that lie there.
  LogHead head = one.after;
  std::vector<Bytes> expected = one.records;
  for (int i = 0; i < 4; ++i) {
    const LogBatch more = Batch(head, 5, 10, 3);
    ASSERT_THAT(next->Append(more), IsOk());
    head = more.after;
    expected.insert(expected.end(), more.records.begin(), more.records.end());
  }
  EXPECT_EQ(All(*Open()), expected);
}

TEST_F(EtcdLogStoreTest, LiesInEtcdAsTheFormatPageSays) {
  const auto store = OpenLeader();
  LogBatch batch = Batch(ledger::EmptyHead(), 2);
  batch.records = {ToBytes("a"), ToBytes("bb")};
  ASSERT_THAT(store->Append(batch), IsOk());
  const auto at = [&](const std::string& key) {
    return etcd_.Range({.key = "/l/" + key}, Soon())->kvs.at(0);
  };
  const std::string leader =
      fmt::format("{:016x}", at("seq/leader").create_revision);
  EXPECT_EQ(
      ToHex(AsBytes(at("b/0000000000000000/0000000000000000").value)),
      "01" + leader + "0000000000000002" + "00000002" + "000161" + "00026262");
  EXPECT_EQ(ToHex(AsBytes(at("head").value)),
            "010000000000000002" + std::string(16, '0') +
                ToHex(batch.after.root) + leader + "0000000000000002");
  EXPECT_EQ(at("t/00/0000000000000000").value, std::string(32, 1));
}

TEST_F(EtcdLogStoreTest, AFullDiskLeavesTheLogAsItWas) {
  const auto store = OpenLeader();
  const LogBatch one = Batch(ledger::EmptyHead(), 3);
  ASSERT_THAT(store->Append(one), IsOk());
  etcd_.NextTransactions({Fate::kDiskFull});
  EXPECT_THAT(store->Append(Batch(one.after, 1)),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(*store->Head(), one.after);
  EXPECT_THAT(store->Append(Batch(one.after, 1)), IsOk());
}

TEST_F(EtcdLogStoreTest, NoticesThatItWasRolledBack) {
  const auto store = OpenLeader();
  const LogBatch one = Batch(ledger::EmptyHead(), 3);
  ASSERT_THAT(store->Append(one), IsOk());
  const std::string then =
      etcd_.Range({.key = "/l/head"}, Soon())->kvs.at(0).value;
  ASSERT_THAT(store->Append(Batch(one.after, 2)), IsOk());
  Write("/l/head", then);
  EXPECT_THAT(store->Head(), StatusIs(kDataLoss, HasSubstr("rolled back")));
  EXPECT_THAT(store->Append(Batch(one.after, 1)), StatusIs(kDataLoss));
}

TEST_F(EtcdLogStoreTest, RefusesWhatItDidNotWrite) {
  const auto store = OpenLeader();
  const LogBatch one = Batch(ledger::EmptyHead(), 3);
  ASSERT_THAT(store->Append(one), IsOk());
  const std::string part = "/l/b/0000000000000000/0000000000000000";
  const std::string good = etcd_.Range({.key = part}, Soon())->kvs.at(0).value;
  for (const std::string& bad :
       {std::string(), good.substr(0, 30), good + "x",
        good.substr(0, 17) + "\xff\xff\xff\xff" + good.substr(21)}) {
    Write(part, bad);
    EXPECT_THAT(store->Records(0, 9), StatusIs(kDataLoss, HasSubstr(part)));
  }
  ASSERT_TRUE(etcd_.Transact({.writes = {Delete{part, ""}}}, Soon())->done);
  EXPECT_THAT(store->Records(0, 9),
              StatusIs(kDataLoss, HasSubstr("no record 0")));
  std::string newer = good;
  newer[0] = 2;
  Write(part, newer);
  EXPECT_THAT(
      store->Records(0, 9),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("newer")));
  Write("/l/head", "\x01x");
  EXPECT_THAT(EtcdLogStore::Open(etcd_, {.prefix = "/l/"}),
              StatusIs(kDataLoss, HasSubstr("/l/head")));
}

}  // namespace
}  // namespace vmattest::testing
