#include "ledger/log.h"

#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <filesystem>

#include "fakes/fake_log_store.h"
#include "gmock/gmock.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "merkle/tree.h"
#include "sqlite/database.h"
#include "support/ledger_rig.h"
#include "support/temp_dir.h"

namespace vmattest::ledger {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::FakeLogStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::LedgerVm;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

WallTime At(int64_t unix_ms) {
  return WallTime(std::chrono::milliseconds(unix_ms));
}

class LogTest : public ::testing::Test {
 protected:
  LogTest() {
    EXPECT_TRUE(store_.Lead("here")->mine);
    log_ = *Log::Open(store_, rig_.Policy(), {});
  }
  LedgerRig rig_;
  FakeLogStore store_;
  std::unique_ptr<Log> log_;
};

TEST_F(LogTest, ProvesEveryRecordAgainstEveryLaterTree) {
  rig_.Populate(*log_);
  const LogHead head = log_->head();
  for (uint64_t size = 1; size <= head.size; ++size) {
    ASSERT_OK_AND_ASSIGN(const Bytes root, log_->RootAt(size));
    for (uint64_t index = 0; index < size; ++index) {
      ASSERT_OK_AND_ASSIGN(const Log::Included included,
                           log_->ReadIncluded(index, size));
      EXPECT_TRUE(merkle::VerifyInclusion(
          HashAlgorithm::kSha256, index, size,
          merkle::LeafHash(HashAlgorithm::kSha256, included.record_bytes),
          included.path, root));
    }
    ASSERT_OK_AND_ASSIGN(const std::vector<Bytes> path,
                         log_->ConsistencyProof(size, head.size));
    EXPECT_TRUE(merkle::VerifyConsistency(HashAlgorithm::kSha256, size,
                                          head.size, root, head.root, path));
  }
  EXPECT_THAT(log_->InclusionProof(0, head.size + 1),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(LogTest, OneBatchTakesWhatDoesNotDependOnEachOther) {
  rig_.Populate(*log_);
  const Bytes launch_a = rig_.Launch("h2", 1, false);
  const Bytes result = rig_.Result("h1", 2, true);
  const Bytes second = rig_.Result("h1", 3, true);  // the same sequence
  const auto outcomes = log_->Append(
      {LedgerRig::Check(*log_, launch_a), LedgerRig::Check(*log_, result),
       LedgerRig::Check(*log_, second)},
      At(rig_.time_ms));
  ASSERT_THAT(outcomes, IsOk());
  EXPECT_TRUE(outcomes->at(0).index.has_value());
  EXPECT_TRUE(outcomes->at(1).index.has_value());
  EXPECT_FALSE(outcomes->at(2).index.has_value());
  EXPECT_FALSE(outcomes->at(2).refusal.has_value());
}

TEST_F(LogTest, FindsOutWhetherALostAnswerWasACommit) {
  rig_.Populate(*log_);
  const uint64_t size = log_->head().size;
  const Bytes bytes = rig_.Result("h1", 1, true);
  const auto lost = [] { return absl::UnavailableError("connection lost"); };
  store_.FailAppends(lost, false);
  EXPECT_THAT(log_->Append({LedgerRig::Check(*log_, bytes)}, At(rig_.time_ms)),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(log_->head().size, size);
  store_.FailAppends(lost, true);
  const auto outcomes =
      log_->Append({LedgerRig::Check(*log_, bytes)}, At(rig_.time_ms));
  ASSERT_THAT(outcomes, IsOk());
  EXPECT_EQ(outcomes->at(0).index, size);
  EXPECT_EQ(store_.Head()->size, size + 1);
}

TEST_F(LogTest, NothingChangesWhereTheDiskIsFull) {
  rig_.Populate(*log_);
  const LogHead head = log_->head();
  const Bytes bytes = rig_.Result("h1", 1, false);
  store_.FailAppends([] { return absl::ResourceExhaustedError("disk full"); });
  EXPECT_THAT(log_->Append({LedgerRig::Check(*log_, bytes)}, At(rig_.time_ms)),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(log_->head(), head);
  store_.FailAppends({});
  EXPECT_EQ(rig_.Submit(*log_, bytes), "");
}

TEST_F(LogTest, DoesNotSayTwiceThatItHasWhatTheStoreLost) {
  rig_.Populate(*log_);
  const LogHead before = log_->head();
  const Bytes bytes = rig_.Result("h1", 1, true);
  EXPECT_EQ(rig_.Submit(*log_, bytes), "");
  EXPECT_EQ(rig_.Submit(*log_, bytes), "");  // a retry
  {
    const MutexLock lock(store_.shared()->mutex);
    store_.shared()->head = before;
  }
  EXPECT_THAT(log_->Append({LedgerRig::Check(*log_, bytes)}, At(rig_.time_ms)),
              StatusIs(kDataLoss, HasSubstr("rolled back")));
}

TEST_F(LogTest, FollowsWhatAnotherNodeAppends) {
  FakeLogStore other_store(store_.shared());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Log> other,
                       Log::Open(other_store, rig_.Policy(), {}));
  rig_.Populate(*log_);
  ASSERT_THAT(other->CatchUp(), IsOk());
  EXPECT_EQ(other->head(), log_->head());
  EXPECT_EQ(other->With([](const LogState& s) { return s.StateRoot(); }),
            log_->With([](const LogState& s) { return s.StateRoot(); }));
}

TEST_F(LogTest, OpensToTheSameState) {
  rig_.Populate(*log_);
  EXPECT_EQ(rig_.Submit(*log_, rig_.Tick("h1", 3, {})), "");
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Log> again,
                       Log::Open(store_, rig_.Policy(), {}));
  EXPECT_EQ(again->head(), log_->head());
  EXPECT_EQ(again->With([](const LogState& s) { return s.StateRoot(); }),
            log_->With([](const LogState& s) { return s.StateRoot(); }));
  EXPECT_EQ(rig_.Submit(*again, rig_.Tick("h1", 3, {})), "");
}

TEST_F(LogTest, NamesWhatWasTamperedWith) {
  rig_.Populate(*log_);
  const auto& shared = store_.shared();
  const auto open = [this] {
    return Log::Open(store_, rig_.Policy(), {}).status();
  };
  const auto with = [&](const std::function<void()>& change) {
    const MutexLock lock(shared->mutex);
    change();
  };
  const Bytes record = shared->records[5];
  with([&] { shared->records[5].back() ^= 1; });
  EXPECT_THAT(open(), StatusIs(kDataLoss, HasSubstr("record 5")));
  with([&] { shared->records[5] = record; });
  EXPECT_THAT(open(), IsOk());
  // Another ledger time: the signature is as good as ever, the hash is not.
  with([&] {
    const Record parsed = *ParseRecord(record);
    shared->records[5] = EncodeRecord(parsed.time_unix_ms, parsed.entry);
    shared->records[8] =
        EncodeRecord(rig_.time_ms + 1, ParseRecord(shared->records[8])->entry);
  });
  EXPECT_THAT(open(), StatusIs(kDataLoss, HasSubstr("hash 8 of tile 0/0")));
  with([&] {
    shared->records[8] =
        EncodeRecord(rig_.time_ms, ParseRecord(shared->records[8])->entry);
    shared->tiles[{0, 0}][3] ^= 1;
  });
  EXPECT_THAT(open(), StatusIs(kDataLoss, HasSubstr("hash 0 of tile 0/0")));
  with([&] {
    shared->tiles[{0, 0}][3] ^= 1;
    shared->head.root[0] ^= 1;
  });
  EXPECT_THAT(open(), StatusIs(kDataLoss, HasSubstr("is not its head's")));
  with([&] {
    shared->head.root[0] ^= 1;
    shared->records.erase(8);
  });
  EXPECT_THAT(open(), StatusIs(kDataLoss, HasSubstr("record 8")));
}

TEST_F(LogTest, KnowsThatItWasRolledBackAndGrewAgain) {
  rig_.Populate(*log_);
  const LogHead before = log_->head();
  const Log::Trusted trusted{.size = before.size, .root = before.root};
  EXPECT_THAT(Log::Open(store_, rig_.Policy(), trusted), IsOk());
  FakeLogStore other;
  ASSERT_TRUE(other.Lead("here")->mine);
  const std::unique_ptr<Log> fresh = *Log::Open(other, rig_.Policy(), {});
  EXPECT_THAT(Log::Open(other, rig_.Policy(), trusted),
              StatusIs(kDataLoss, HasSubstr("rolled back")));
  LedgerRig story;
  // The same writers tell another story: only its time differs.
  rig_ = std::move(story);
  EXPECT_THAT(Log::Open(other, rig_.Policy(), trusted), StatusIs(kDataLoss));
}

TEST(SqliteLedger, SurvivesKillsInTheMiddleOfWork) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "ledger.db";
  LedgerRig rig;
  uint64_t acknowledged = 0;
  for (int round = 0; round < 6; ++round) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      // Writes until it is killed, telling of each acknowledgement.
      auto store = SqliteLogStore::Open(path);
      if (!store.ok() || !(*store)->Lead("child").ok()) {
        _exit(1);
      }
      LogHead head = *(*store)->Head();
      tlog::TreeEdge edge = *tlog::TreeEdge::Load(
          [&](uint32_t level, uint64_t index, size_t) -> absl::StatusOr<Bytes> {
            ASSIGN_OR_RETURN(HashTile tile, (*store)->Tile(level, index));
            return tile.hashes;
          },
          head.size);
      while (true) {
        LogBatch batch{.before = head, .after = head};
        for (int i = 0; i < 3; ++i) {
          const Bytes record = Bytes(200, static_cast<uint8_t>(edge.size()));
          edge.Append(merkle::LeafHash(HashAlgorithm::kSha256, record));
          batch.records.push_back(record);
        }
        for (auto& tile : edge.TakeChanged()) {
          batch.tiles.push_back({tile.level, tile.index, tile.hashes});
        }
        batch.after = {.size = edge.size(),
                       .root = edge.Root(),
                       .time_unix_ms = head.time_unix_ms + 1};
        if (!(*store)->Append(batch).ok()) {
          _exit(2);
        }
        head = batch.after;
        const uint64_t size = head.size;
        if (write(pipe_fds[1], &size, sizeof(size)) != sizeof(size)) {
          _exit(3);
        }
      }
    }
    close(pipe_fds[1]);
    // At another place of the write each time.
    for (int i = 0; i <= round * 7; ++i) {
      ASSERT_EQ(read(pipe_fds[0], &acknowledged, sizeof(acknowledged)),
                static_cast<ssize_t>(sizeof(acknowledged)));
    }
    kill(child, SIGKILL);
    uint64_t more = 0;
    while (read(pipe_fds[0], &more, sizeof(more)) > 0) {
      acknowledged = more;
    }
    close(pipe_fds[0]);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    ASSERT_OK_AND_ASSIGN(const auto store, SqliteLogStore::Open(path));
    ASSERT_OK_AND_ASSIGN(const LogHead head, store->Head());
    // Nothing acknowledged is lost, nothing is half there.
    ASSERT_GE(head.size, acknowledged);
    ASSERT_EQ(head.size % 3, 0u);
    ASSERT_OK_AND_ASSIGN(const std::vector<Bytes> records,
                         store->Records(0, head.size));
    ASSERT_EQ(records.size(), head.size);
    tlog::TreeEdge edge;
    for (const Bytes& record : records) {
      edge.Append(merkle::LeafHash(HashAlgorithm::kSha256, record));
    }
    ASSERT_EQ(edge.Root(), head.root);
  }
}

TEST(SqliteLedger, IsOpenOnceAtATime) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto store,
                       SqliteLogStore::Open(dir.path() / "ledger.db"));
  EXPECT_THAT(
      SqliteLogStore::Open(dir.path() / "ledger.db"),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("another process")));
}

TEST(SqliteLedger, NamesDamageOfItsFile) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "ledger.db";
  LedgerRig rig;
  {
    ASSERT_OK_AND_ASSIGN(const auto store, SqliteLogStore::Open(path));
    ASSERT_TRUE(store->Lead("here")->mine);
    ASSERT_OK_AND_ASSIGN(const auto log, Log::Open(*store, rig.Policy(), {}));
    rig.Populate(*log);
  }
  {
    ASSERT_OK_AND_ASSIGN(sqlite::Database database,
                         sqlite::Database::Open(path, "test"));
    ASSERT_THAT(database.Run("UPDATE record SET bytes=(SELECT bytes FROM "
                             "record WHERE idx=4) WHERE idx=5"),
                IsOk());
  }
  ASSERT_OK_AND_ASSIGN(const auto store, SqliteLogStore::Open(path));
  EXPECT_THAT(Log::Open(*store, rig.Policy(), {}),
              StatusIs(kDataLoss, HasSubstr("record 5")));
}

}  // namespace
}  // namespace vmattest::ledger
