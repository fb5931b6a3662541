// The SQLite store in a process that is killed at each of its writes, and on
// a disk that is full.
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "merkle/tree.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "tlog/tile_tree.h"

namespace vmattest::ledger {
namespace {

using vmattest::testing::IsOk;
using vmattest::testing::TempDir;
namespace fs = std::filesystem;

// How a process dies at the n-th of its writes, of whatever file: before it,
// in the middle of it, or right after it.
enum class Cut { kBefore, kHalf, kAfter };
struct Killer {
  long countdown = 0;  // 0: never
  Cut cut = Cut::kBefore;
};
Killer killer;  // of the child alone

bool Now() { return killer.countdown > 0 && --killer.countdown == 0; }

ssize_t Pwrite(int fd, const void* data, size_t size, off_t offset) {
  const bool now = Now();
  if (now && killer.cut == Cut::kBefore) {
    raise(SIGKILL);
  }
  const ssize_t written = pwrite(
      fd, data, now && killer.cut == Cut::kHalf ? size / 2 : size, offset);
  if (now) {
    raise(SIGKILL);
  }
  return written;
}
int Ftruncate(int fd, off_t size) {
  const bool now = Now();
  if (now && killer.cut != Cut::kAfter) {
    raise(SIGKILL);
  }
  const int done = ftruncate(fd, size);
  if (now) {
    raise(SIGKILL);
  }
  return done;
}

void CountWrites(long countdown, Cut cut) {
  sqlite3_initialize();
  sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
  int replaced = 0;
  for (const char* name : {"pwrite64", "pwrite"}) {
    replaced += vfs->xSetSystemCall(
                    vfs, name,
                    reinterpret_cast<sqlite3_syscall_ptr>(&Pwrite)) == SQLITE_OK
                    ? 1
                    : 0;
  }
  if (replaced == 0 ||
      vfs->xSetSystemCall(vfs, "ftruncate",
                          reinterpret_cast<sqlite3_syscall_ptr>(&Ftruncate)) !=
          SQLITE_OK) {
    _exit(10);
  }
  killer = {.countdown = countdown, .cut = cut};
}

LogBatch NextBatch(const LogHead& before, tlog::TreeEdge& edge, size_t count,
                   size_t record_size) {
  LogBatch batch{.before = before, .after = before};
  for (size_t i = 0; i < count; ++i) {
    Bytes record(record_size, static_cast<uint8_t>(edge.size()));
    edge.Append(merkle::LeafHash(HashAlgorithm::kSha256, record));
    batch.records.push_back(std::move(record));
  }
  for (auto& tile : edge.TakeChanged()) {
    batch.tiles.push_back({tile.level, tile.index, std::move(tile.hashes)});
  }
  batch.after = {.size = edge.size(),
                 .root = edge.Root(),
                 .time_unix_ms = before.time_unix_ms + 1};
  return batch;
}

struct Work {
  size_t batches = 1;
  size_t records = 8;
  size_t record_size = 700;
};

// Appends, and says of each batch that it was acknowledged.
[[noreturn]] void Append(const fs::path& path, const Work& work, int told) {
  const auto store = SqliteLogStore::Open(path);
  if (!store.ok() || !(*store)->Lead("child").ok()) {
    _exit(11);
  }
  LogHead head = *(*store)->Head();
  tlog::TreeEdge edge;
  const auto before = (*store)->Records(0, head.size);
  for (const Bytes& record : *before) {
    edge.Append(merkle::LeafHash(HashAlgorithm::kSha256, record));
  }
  (void)edge.TakeChanged();
  for (size_t i = 0; i < work.batches; ++i) {
    const LogBatch batch =
        NextBatch(head, edge, work.records, work.record_size);
    if (!(*store)->Append(batch).ok() || write(told, "!", 1) != 1) {
      _exit(12);
    }
    head = batch.after;
  }
  _exit(0);
}

// One kill. False: the child came to its end before.
bool KillAt(const fs::path& path, const Work& work, long write, Cut cut,
            uint64_t before) {
  int told[2];
  EXPECT_EQ(pipe(told), 0);
  const pid_t child = fork();
  if (child == 0) {
    CountWrites(write, cut);
    Append(path, work, told[1]);
  }
  close(told[1]);
  uint64_t acknowledged = 0;
  for (char c = 0; read(told[0], &c, 1) == 1;) {
    acknowledged += work.records;
  }
  close(told[0]);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  EXPECT_TRUE(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
      << status;
  // Nothing acknowledged is lost, nothing is half there.
  const auto store = SqliteLogStore::Open(path);
  EXPECT_THAT(store, IsOk());
  const LogHead head = *(*store)->Head();
  EXPECT_GE(head.size, before + acknowledged);
  EXPECT_EQ((head.size - before) % work.records, 0u);
  const auto records = (*store)->Records(0, head.size + 10);
  EXPECT_THAT(records, IsOk());
  EXPECT_EQ(records->size(), head.size);
  tlog::TreeEdge edge;
  for (const Bytes& record : *records) {
    edge.Append(merkle::LeafHash(HashAlgorithm::kSha256, record));
  }
  EXPECT_EQ(edge.Root(), head.root);
  for (const auto& tile : edge.TakeChanged()) {
    const auto stored = (*store)->Tile(tile.level, tile.index);
    EXPECT_THAT(stored, IsOk());
    EXPECT_EQ(stored->hashes, tile.hashes);
  }
  return killed;
}

// At each `step`-th write of the work from a log of some records on.
void KillEverywhere(const Work& work, long step) {
  const TempDir dir;
  const fs::path start = dir.path() / "start";
  const fs::path path = dir.path() / "ledger.db";
  uint64_t before = 0;
  {
    const auto store = SqliteLogStore::Open(start);
    ASSERT_THAT(store, IsOk());
    ASSERT_TRUE((*store)->Lead("here")->mine);
    tlog::TreeEdge edge;
    const LogBatch batch = NextBatch(EmptyHead(), edge, 250, 100);
    ASSERT_THAT((*store)->Append(batch), IsOk());
    before = batch.after.size;
  }
  for (const Cut cut : {Cut::kBefore, Cut::kHalf, Cut::kAfter}) {
    long write = 1;
    const auto fresh = [&] {
      for (const char* suffix : {"-wal", "-shm"}) {
        fs::remove(path.string() + suffix);
      }
      fs::copy_file(start, path, fs::copy_options::overwrite_existing);
    };
    for (fresh(); KillAt(path, work, write, cut, before); fresh()) {
      ASSERT_FALSE(::testing::Test::HasFailure())
          << "write " << write << " cut " << static_cast<int>(cut);
      write += step;
    }
    ASSERT_GT(write, 10 * step);  // the kills met the work
  }
}

TEST(SqliteFaults, Kill9AtEveryWriteOfABatchLosesNothingThatWasAcknowledged) {
  KillEverywhere({.batches = 1, .records = 8}, 1);
}

// Long enough that SQLite moves its log into the file meanwhile.
TEST(SqliteFaults, Kill9AmongManyBatchesAndTheirCheckpointsDoesNeither) {
  KillEverywhere({.batches = 6, .records = 64, .record_size = 12'000}, 251);
}

void RunSql(const fs::path& path, const char* sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(database);
  sqlite3_close(database);
}

class SqliteTiles : public ::testing::Test {
 protected:
  // 300 records: a full tile, and two that grow.
  void SetUp() override {
    const auto store = SqliteLogStore::Open(path_);
    ASSERT_THAT(store, IsOk());
    ASSERT_TRUE((*store)->Lead("here")->mine);
    Grow(**store, 250);
    Grow(**store, 50);
  }
  void Grow(SqliteLogStore& store, size_t count) {
    const LogBatch batch = NextBatch(head_, edge_, count, 10);
    ASSERT_THAT(store.Append(batch), IsOk());
    head_ = batch.after;
    for (const HashTile& tile : batch.tiles) {
      tiles_[{tile.level, tile.index}] = tile;
    }
  }
  void ExpectTiles(SqliteLogStore& store) {
    for (const auto& [place, tile] : tiles_) {
      const auto stored = store.Tile(place.first, place.second);
      ASSERT_THAT(stored, IsOk());
      EXPECT_EQ(*stored, tile);
    }
  }

  const TempDir dir_;
  const fs::path path_ = dir_.path() / "ledger.db";
  tlog::TreeEdge edge_;
  LogHead head_ = EmptyHead();
  std::map<std::pair<uint32_t, uint64_t>, HashTile> tiles_;
};

TEST_F(SqliteTiles, OfAFileOfTheFirstVersionAreReadAndGrow) {
  RunSql(path_,
         "UPDATE tile SET hashes = substr(hashes, 1, 44 * 32) WHERE place = 1;"
         "UPDATE tile SET hashes = substr(hashes, 1, 32) WHERE place > 1;"
         "PRAGMA user_version = 1");
  const auto store = SqliteLogStore::Open(path_);
  ASSERT_THAT(store, IsOk());
  ExpectTiles(**store);
  ASSERT_TRUE((*store)->Lead("here")->mine);
  Grow(**store, 256);
  ExpectTiles(**store);
}

TEST_F(SqliteTiles, ThatWereCutAreNamed) {
  RunSql(path_,
         "UPDATE tile SET hashes = substr(hashes, 1, 320) WHERE place = 1");
  const auto store = SqliteLogStore::Open(path_);
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->Tile(0, 1),
              vmattest::testing::StatusIs(absl::StatusCode::kDataLoss,
                                          ::testing::HasSubstr("tile 0/1")));
  EXPECT_THAT((*store)->Tile(0, 0), IsOk());
}

// As root, or as whom this process is in a user namespace of its own.
bool HasOwnMounts() {
  if (unshare(CLONE_NEWNS) == 0) {
    return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  }
  const std::string map = fmt::format("0 {} 1", getuid());
  return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
         std::ofstream("/proc/self/uid_map")
             .write(map.data(), map.size())
             .flush()
             .good();
}

// In a child that has a file system of 3 MiB for itself; its exit code.
int AppendUntilFull(const fs::path& mount_point) {
  if (!HasOwnMounts() ||
      mount("none", mount_point.c_str(), "tmpfs", 0, "size=3m") != 0) {
    return 77;
  }
  const auto store = SqliteLogStore::Open(mount_point / "ledger.db");
  if (!store.ok() || !(*store)->Lead("child").ok()) {
    return 1;
  }
  LogHead head = EmptyHead();
  tlog::TreeEdge edge;
  absl::Status last;
  while (last.ok()) {
    tlog::TreeEdge next = edge;
    const LogBatch batch = NextBatch(head, next, 8, 4'000);
    last = (*store)->Append(batch);
    if (last.ok()) {
      head = batch.after;
      edge = std::move(next);
    }
  }
  if (!absl::IsResourceExhausted(last)) {
    return 2;
  }
  // Refused, and nothing of it is there; what was there is.
  const auto records = (*store)->Records(0, head.size + 10);
  if (*(*store)->Head() != head || !records.ok() ||
      records->size() != head.size || head.size == 0) {
    return 3;
  }
  // With room again it goes on.
  if (mount("none", mount_point.c_str(), "tmpfs", MS_REMOUNT, "size=30m") !=
      0) {
    return 4;
  }
  return (*store)->Append(NextBatch(head, edge, 8, 4'000)).ok() ? 0 : 5;
}

TEST(SqliteFaults, AFullDiskIsSaidAndNothingIsHalfWritten) {
  const TempDir dir;
  const pid_t child = fork();
  if (child == 0) {
    _exit(AppendUntilFull(dir.path()));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    GTEST_SKIP() << "needs a mount namespace of its own";
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace vmattest::ledger
