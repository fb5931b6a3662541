// Tiles in SQLite files of an older version.
#include <sqlite3.h>

#include <filesystem>
#include <map>

#include "contract/fault_writer.h"
#include "gmock/gmock.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "tlog/tile_tree.h"

namespace vmattest::ledger {
namespace {

using vmattest::testing::IsOk;
using vmattest::testing::NextBatch;
using vmattest::testing::TempDir;
namespace fs = std::filesystem;

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

}  // namespace
}  // namespace vmattest::ledger
