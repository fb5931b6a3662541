// The claims; log_store_contract.h says how a program runs them.
#include "contract/log_store_contract.h"

#include <atomic>
#include <chrono>
#include <thread>

namespace vmattest::testing {
namespace {

using ledger::EmptyHead;
using ledger::HashTile;
using ledger::Leadership;
using ledger::LogBatch;
using ledger::LogHead;
using ledger::LogStore;
using ledger::StateItem;
using ledger::StoredCheckpoint;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

constexpr auto kAborted = absl::StatusCode::kAborted;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

std::chrono::steady_clock::time_point Soon(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

TEST_P(LogStoreContract, BeginsEmpty) {
  EXPECT_EQ(*store_->Head(), EmptyHead());
  EXPECT_THAT(*store_->Records(0, 10), IsEmpty());
  EXPECT_THAT(store_->Tile(0, 0), StatusIs(kNotFound));
  EXPECT_EQ(*store_->Checkpoint(), std::nullopt);
  EXPECT_EQ(*store_->StateSize(), 0u);
  EXPECT_THAT(*store_->State("", 10), IsEmpty());
  EXPECT_EQ(*store_->FirstRecord(), 0u);
}

TEST_P(LogStoreContract, KeepsBatchesAsTheyAre) {
  Lead();
  const LogBatch one = Batch(EmptyHead(), 3);
  ASSERT_THAT(store_->Append(one), IsOk());
  const LogBatch two = Batch(one.after, 256);
  ASSERT_THAT(store_->Append(two), IsOk());
  EXPECT_EQ(*store_->Head(), two.after);
  ASSERT_OK_AND_ASSIGN(std::vector<Bytes> records, store_->Records(0, 3));
  EXPECT_EQ(records, one.records);
  std::vector<Bytes> rest;
  while (rest.size() < 256) {
    ASSERT_OK_AND_ASSIGN(records, store_->Records(3 + rest.size(), 1'000));
    ASSERT_FALSE(records.empty());
    rest.insert(rest.end(), records.begin(), records.end());
  }
  EXPECT_EQ(rest, two.records);
  EXPECT_EQ(*store_->Tile(0, 0), two.tiles[0]);
  EXPECT_EQ(*store_->Tile(0, 1), two.tiles[1]);
  EXPECT_THAT(store_->Tile(0, 2), StatusIs(kNotFound));
  EXPECT_THAT(store_->Tile(1, 0), StatusIs(kNotFound));
}

TEST_P(LogStoreContract, KeepsTheLargestRecords) {
  Lead();
  LogBatch batch = Batch(EmptyHead(), 2);
  batch.records = {Bytes(65'535, 7), Bytes(65'535, 8)};
  ASSERT_THAT(store_->Append(batch), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::vector<Bytes> records, store_->Records(1, 1));
  EXPECT_THAT(records, ElementsAre(batch.records[1]));
}

TEST_P(LogStoreContract, AppendsOnlyToTheHeadThatItNames) {
  Lead();
  const LogHead first = Grow(2);
  EXPECT_THAT(store_->Append(Batch(EmptyHead(), 1)), StatusIs(kAborted));
  LogHead other_root = first;
  other_root.root[5] ^= 1;
  EXPECT_THAT(store_->Append(Batch(other_root, 1)), StatusIs(kAborted));
  LogHead other_time = first;
  other_time.time_unix_ms += 1;
  EXPECT_THAT(store_->Append(Batch(other_time, 1)), StatusIs(kAborted));
  EXPECT_EQ(*store_->Head(), first);
  EXPECT_THAT(*store_->Records(0, 10), SizeIs(2));
}

TEST_P(LogStoreContract, RefusesBatchesPastTheLimits) {
  Lead();
  EXPECT_THAT(store_->Append(Batch(EmptyHead(), 0)), StatusIs(kInvalid));
  EXPECT_THAT(store_->Append(Batch(EmptyHead(), ledger::kMaxBatch + 1)),
              StatusIs(kInvalid));
  LogBatch batch = Batch(EmptyHead(), 1);
  batch.records[0] = Bytes(65'536);
  EXPECT_THAT(store_->Append(batch), StatusIs(kInvalid));
  batch = Batch(EmptyHead(), 1);
  batch.records[0].clear();
  EXPECT_THAT(store_->Append(batch), StatusIs(kInvalid));
  batch = Batch(EmptyHead(), 1);
  batch.after.size = 2;
  EXPECT_THAT(store_->Append(batch), StatusIs(kInvalid));
  batch = Batch(EmptyHead(), 1);
  batch.tiles[0].hashes.pop_back();
  EXPECT_THAT(store_->Append(batch), StatusIs(kInvalid));
  EXPECT_EQ(*store_->Head(), EmptyHead());
}

TEST_P(LogStoreContract, AppendsOnlyAsLeader) {
  EXPECT_THAT(store_->Append(Batch(EmptyHead(), 1)), StatusIs(kAborted));
  Lead();
  Grow(1);
  ASSERT_THAT(store_->Resign(), IsOk());
  EXPECT_THAT(store_->Append(Batch(*store_->Head(), 1)), StatusIs(kAborted));
  Lead();
  Grow(1);
}

TEST_P(LogStoreNodesContract, HasOneLeaderAtATime) {
  Lead();
  const std::unique_ptr<LogStore> other = bed_->Open();
  EXPECT_EQ(*other->Lead("node-2"),
            (Leadership{.mine = false, .leader = "node-1"}));
  EXPECT_THAT(other->Append(Batch(EmptyHead(), 1)), StatusIs(kAborted));
  Lead();  // renews
  Grow(1);
  ASSERT_THAT(store_->Resign(), IsOk());
  EXPECT_TRUE(other->Lead("node-2")->mine);
  EXPECT_THAT(store_->Append(Batch(*store_->Head(), 1)), StatusIs(kAborted));
  EXPECT_THAT(other->Append(Batch(*other->Head(), 1)), IsOk());
  EXPECT_EQ(*store_->Lead("node-1"),
            (Leadership{.mine = false, .leader = "node-2"}));
}

TEST_P(LogStoreNodesContract, FencesALeaderWhoseLeaseRanOut) {
  Lead();
  Grow(1);
  const std::unique_ptr<LogStore> other = bed_->Open();
  bed_->ExpireLeases();
  ASSERT_TRUE(other->Lead("node-2")->mine);
  EXPECT_THAT(store_->Append(Batch(*store_->Head(), 1)), StatusIs(kAborted));
  EXPECT_EQ(other->Head()->size, 1u);
}

TEST_P(LogStoreNodesContract, ShowsOtherNodesWhatWasAppended) {
  Lead();
  const std::unique_ptr<LogStore> other = bed_->Open();
  const LogHead head = Grow(5);
  EXPECT_EQ(*other->Head(), head);
  EXPECT_THAT(*other->Records(0, 5), SizeIs(5));
}

TEST_P(LogStoreContract, TellsWaitersThatItGrew) {
  Lead();
  const LogHead first = Grow(1);
  EXPECT_EQ(*store_->WaitForHead(0, Soon(std::chrono::minutes(1))), first);
  EXPECT_EQ(*store_->WaitForHead(1, Soon(std::chrono::milliseconds(5))), first);
  absl::StatusOr<LogHead> seen = LogHead();
  std::thread waiter(
      [&] { seen = store_->WaitForHead(1, Soon(std::chrono::minutes(1))); });
  const LogHead second = Grow(2);
  waiter.join();
  EXPECT_EQ(*seen, second);
}

TEST_P(LogStoreContract, KeepsTheLargestCheckpoint) {
  ASSERT_THAT(store_->PutCheckpoint({.size = 5, .note = "five\n"}), IsOk());
  EXPECT_THAT(store_->PutCheckpoint({.size = 4, .note = "four\n"}),
              StatusIs(kAborted));
  EXPECT_THAT(*store_->Checkpoint(),
              Optional(StoredCheckpoint{.size = 5, .note = "five\n"}));
  ASSERT_THAT(store_->PutCheckpoint({.size = 5, .note = "five, cosigned\n"}),
              IsOk());
  ASSERT_THAT(store_->PutCheckpoint({.size = 9, .note = "nine\n"}), IsOk());
  EXPECT_THAT(*store_->Checkpoint(),
              Optional(StoredCheckpoint{.size = 9, .note = "nine\n"}));
}

TEST_P(LogStoreContract, KeepsStateOfAPrefix) {
  Lead();
  Grow(10);
  ASSERT_THAT(store_->PutState(0, 4,
                               {{"vm/a", ToBytes("1")},
                                {"vm/b", ToBytes("2")},
                                {"host/a", Bytes(3'000, 9)}}),
              IsOk());
  EXPECT_EQ(*store_->StateSize(), 4u);
  EXPECT_THAT(*store_->State("", 10),
              ElementsAre(StateItem{"host/a", Bytes(3'000, 9)},
                          StateItem{"vm/a", ToBytes("1")},
                          StateItem{"vm/b", ToBytes("2")}));
  EXPECT_THAT(*store_->State("host/a", 1),
              ElementsAre(StateItem{"vm/a", ToBytes("1")}));
  ASSERT_THAT(store_->PutState(4, 10, {{"vm/a", {}}, {"vm/b", ToBytes("3")}}),
              IsOk());
  EXPECT_THAT(*store_->State("host/a", 10),
              ElementsAre(StateItem{"vm/b", ToBytes("3")}));
}

TEST_P(LogStoreContract, RefusesStateOfOtherRecords) {
  Lead();
  Grow(10);
  EXPECT_THAT(store_->PutState(0, 11, {}), StatusIs(kAborted));
  ASSERT_THAT(store_->PutState(0, 5, {{"a", ToBytes("1")}}), IsOk());
  EXPECT_THAT(store_->PutState(0, 6, {{"a", ToBytes("2")}}),
              StatusIs(kAborted));
  EXPECT_THAT(store_->PutState(5, 4, {{"a", ToBytes("2")}}),
              StatusIs(kAborted));
  EXPECT_THAT(*store_->State("", 9), ElementsAre(StateItem{"a", ToBytes("1")}));
}

TEST_P(LogStoreContract, KeepsALargeState) {
  Lead();
  Grow(1);
  std::vector<StateItem> items;
  for (int i = 0; i < 1'000; ++i) {
    items.push_back({"vm/" + std::to_string(1'000 + i), Bytes(200, 1)});
  }
  ASSERT_THAT(store_->PutState(0, 1, items), IsOk());
  std::vector<StateItem> found;
  while (true) {
    ASSERT_OK_AND_ASSIGN(
        const std::vector<StateItem> page,
        store_->State(found.empty() ? "" : found.back().key, 300));
    found.insert(found.end(), page.begin(), page.end());
    if (page.size() < 300) {
      break;
    }
  }
  EXPECT_EQ(found, items);
}

TEST_P(LogStoreContract, TrimsOnlyWhatEveryArchiveHas) {
  Lead();
  Grow(100);
  ASSERT_THAT(store_->PutState(0, 80, {}), IsOk());
  EXPECT_THAT(store_->Trim(10, {}), StatusIs(kPrecondition));
  EXPECT_THAT(store_->Trim(10, {"a"}), StatusIs(kPrecondition));
  ASSERT_THAT(store_->MarkArchived("a", 90), IsOk());
  ASSERT_THAT(store_->MarkArchived("a", 50), IsOk());  // never back
  ASSERT_THAT(store_->MarkArchived("b", 60), IsOk());
  EXPECT_THAT(store_->Trim(61, {"a", "b"}), StatusIs(kPrecondition));
  EXPECT_THAT(store_->Trim(85, {"a"}), StatusIs(kPrecondition));
  ASSERT_THAT(store_->Trim(60, {"a", "b"}), IsOk());
  EXPECT_LE(*store_->FirstRecord(), 60u);
  EXPECT_GT(*store_->FirstRecord(), 0u);
  EXPECT_THAT(store_->Records(0, 1), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(*store_->Records(60, 1), SizeIs(1));
  EXPECT_THAT(store_->Tile(0, 0), IsOk());
  EXPECT_THAT(store_->Trim(10, {"a"}), IsOk());  // is gone already
  EXPECT_EQ(store_->Head()->size, 100u);
}

TEST_P(LogStoreContract, IsTheSameAfterOpeningAgain) {
  Lead();
  const LogHead head = Grow(300 - 256);
  ASSERT_THAT(store_->PutState(0, 7, {{"k", ToBytes("v")}}), IsOk());
  ASSERT_THAT(store_->PutCheckpoint({.size = 3, .note = "n"}), IsOk());
  ASSERT_OK_AND_ASSIGN(const HashTile tile, store_->Tile(0, 0));
  store_ = nullptr;
  store_ = bed_->Open();
  ASSERT_NE(store_, nullptr);
  EXPECT_EQ(*store_->Head(), head);
  EXPECT_EQ(*store_->Tile(0, 0), tile);
  EXPECT_EQ(*store_->StateSize(), 7u);
  EXPECT_THAT(*store_->State("", 5), SizeIs(1));
  EXPECT_THAT(*store_->Checkpoint(),
              Optional(StoredCheckpoint{.size = 3, .note = "n"}));
  bed_->ExpireLeases();
  Lead();
  Grow(1);
}

TEST_P(LogStoreContract, IsReadWhileItGrows) {
  Lead();
  std::atomic<bool> done = false;
  std::thread reader([&] {
    uint64_t last = 0;
    while (!done) {
      const absl::StatusOr<LogHead> head = store_->Head();
      ASSERT_THAT(head, IsOk());
      ASSERT_GE(head->size, last);
      last = head->size;
      if (last > 0) {
        ASSERT_THAT(store_->Records(last - 1, 1), IsOk());
      }
    }
  });
  for (int i = 0; i < 30; ++i) {
    Grow(3);
  }
  done = true;
  reader.join();
  EXPECT_EQ(store_->Head()->size, 90u);
}

TEST_P(LogStoreContract, IsReadWhileItIsTrimmed) {
  Lead();
  for (int i = 0; i < 8; ++i) {
    Grow(200);
  }
  ASSERT_THAT(store_->PutState(0, 1'600, {}), IsOk());
  ASSERT_THAT(store_->MarkArchived("a", 1'600), IsOk());
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) {
      const absl::StatusOr<uint64_t> first = store_->FirstRecord();
      ASSERT_THAT(first, IsOk());
      const auto records = store_->Records(*first, 1);
      ASSERT_TRUE(records.ok() || absl::IsOutOfRange(records.status()))
          << records.status();
    }
  });
  for (uint64_t first = 100; first < 1'600; first += 100) {
    EXPECT_THAT(store_->Trim(first, {"a"}), IsOk());
  }
  done = true;
  reader.join();
  EXPECT_GT(*store_->FirstRecord(), 1'000u);
}

}  // namespace
}  // namespace vmattest::testing
