#include "ledger/sqlite/sqlite_log_store.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "fmt/format.h"
#include "sqlite/local_file_system.h"
#include "sqlite/schema.h"
#include "tlog/tile.h"

namespace vmattest::ledger {
namespace {

// "VMAL": tells our files from other people's.
constexpr int kApplicationId = 0x564D414C;

// kSteps[n] leads from version n to n + 1. Never changed once released.
constexpr std::array<const char*, 2> kSteps = {
    R"sql(
CREATE TABLE log(
  id INTEGER PRIMARY KEY CHECK (id = 0),
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  time_unix_ms INTEGER NOT NULL,
  first_record INTEGER NOT NULL,
  state_size INTEGER NOT NULL) STRICT;
CREATE TABLE record(
  idx INTEGER PRIMARY KEY,
  bytes BLOB NOT NULL) STRICT;
CREATE TABLE tile(
  place INTEGER PRIMARY KEY,  -- level << 56 | index
  hashes BLOB NOT NULL) STRICT;
CREATE TABLE checkpoint(
  id INTEGER PRIMARY KEY CHECK (id = 0),
  size INTEGER NOT NULL,
  note TEXT NOT NULL) STRICT;
CREATE TABLE state(
  key TEXT PRIMARY KEY,
  value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE archived(
  node TEXT PRIMARY KEY,
  size INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)sql",
    // Each as long as a full one: kTileSize.
    R"sql(
UPDATE tile SET hashes = CAST(hashes || zeroblob(8192 - length(hashes)) AS BLOB)
  WHERE length(hashes) < 8192;
)sql"};

using Statements = SqliteLogStatements;

constexpr std::pair<sqlite::StatementHandle Statements::*, const char*>
    kStatements[] = {
        {&Statements::head,
         "SELECT size, root, time_unix_ms, first_record, state_size FROM log"},
        {&Statements::put_head,
         "UPDATE log SET size=?, root=?, time_unix_ms=?"},
        {&Statements::put_record, "INSERT INTO record VALUES(?, ?)"},
        {&Statements::records,
         "SELECT idx, bytes FROM record WHERE idx>=? ORDER BY idx LIMIT ?"},
        {&Statements::put_tile,
         "INSERT INTO tile VALUES(?, ?) ON CONFLICT DO UPDATE SET "
         "hashes=excluded.hashes"},
        {&Statements::tile, "SELECT hashes FROM tile WHERE place=?"},
        {&Statements::put_checkpoint,
         "INSERT OR REPLACE INTO checkpoint VALUES(0, ?, ?)"},
        {&Statements::checkpoint, "SELECT size, note FROM checkpoint"},
        {&Statements::put_state, "INSERT OR REPLACE INTO state VALUES(?, ?)"},
        {&Statements::drop_state, "DELETE FROM state WHERE key=?"},
        {&Statements::state,
         "SELECT key, value FROM state WHERE key>? ORDER BY key LIMIT ?"},
        {&Statements::put_state_size, "UPDATE log SET state_size=?"},
        {&Statements::mark_archived,
         "INSERT INTO archived VALUES(?, ?) ON CONFLICT DO UPDATE SET "
         "size=max(size, excluded.size)"},
        {&Statements::archived, "SELECT size FROM archived WHERE node=?"},
        {&Statements::trim, "DELETE FROM record WHERE idx<?"},
        {&Statements::put_first, "UPDATE log SET first_record=?"},
};

// One call of Records() answers with at most so much.
constexpr size_t kMaxRecordsBytes = 16u << 20;

// Of this length from the first hash on: SQLite writes an update of the same
// length in place, and only those pages that changed. (REPLACE would take the
// row away first.)
constexpr size_t kTileSize = tlog::kTileWidth * tlog::kHashSize;

int64_t Place(uint32_t level, uint64_t index) {
  return static_cast<int64_t>((static_cast<uint64_t>(level) << 56) | index);
}

// Held as long as the file is open; SQLite's own locks are per transaction.
absl::StatusOr<UniqueFd> LockBeside(const std::filesystem::path& path) {
  const std::string name = path.string() + ".lock";
  UniqueFd fd(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    return ErrnoStatus(errno, name);
  }
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::UnavailableError("another process has the ledger open");
  }
  return fd;
}

absl::Status PrepareFile(sqlite::Database& database) {
  RETURN_IF_ERROR(sqlite::PrepareSchema(
      database,
      {.application_id = kApplicationId, .steps = kSteps, .name = "ledger"}));
  ASSIGN_OR_RETURN(
      const sqlite::StatementHandle first,
      database.Prepare("INSERT OR IGNORE INTO log VALUES(0, 0, ?, 0, 0, 0)"));
  const LogHead empty = EmptyHead();
  sqlite::Query query = database.Execute(first);
  return query.Bind(ByteView(empty.root)).Run();
}

absl::Status PrepareStatements(sqlite::Database& database,
                               Statements& statements) {
  for (const auto& [member, sql] : kStatements) {
    ASSIGN_OR_RETURN(statements.*member, database.Prepare(sql));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteLogStore>> SqliteLogStore::Open(
    const std::filesystem::path& path) {
  const std::string clause = fmt::format("ledger {}", path.string());
  RETURN_IF_ERROR_WITH(sqlite::RequireLocalFileSystem(path), clause);
  ASSIGN_OR_RETURN_WITH(UniqueFd lock, LockBeside(path), clause);
  ASSIGN_OR_RETURN(sqlite::Database database,
                   sqlite::Database::Open(path, "ledger"));
  RETURN_IF_ERROR_WITH(PrepareFile(database), clause);
  std::unique_ptr<SqliteLogStore> store(
      new SqliteLogStore(std::move(lock), std::move(database)));
  const MutexLock opening(store->mutex_);
  RETURN_IF_ERROR_WITH(PrepareStatements(store->database_, store->statements_),
                       clause);
  return store;
}

absl::StatusOr<SqliteLogStore::Row> SqliteLogStore::ReadRow() {
  sqlite::Query query = database_.Execute(statements_.head);
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) {
    return absl::DataLossError("the ledger has no head");
  }
  return Row{.head = {.size = static_cast<uint64_t>(query.Integer(0)),
                      .root = query.Blob(1),
                      .time_unix_ms = query.Integer(2)},
             .first_record = static_cast<uint64_t>(query.Integer(3)),
             .state_size = static_cast<uint64_t>(query.Integer(4))};
}

absl::StatusOr<LogHead> SqliteLogStore::Head() {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(Row row, ReadRow());
  return std::move(row.head);
}

absl::StatusOr<LogHead> SqliteLogStore::WaitForHead(
    uint64_t seen_size, std::chrono::steady_clock::time_point deadline) {
  const MutexLock lock(mutex_);
  while (true) {
    ASSIGN_OR_RETURN(Row row, ReadRow());
    if (row.head.size != seen_size ||
        std::chrono::steady_clock::now() >= deadline) {
      return std::move(row.head);
    }
    grown_.WaitUntil(mutex_, deadline);
  }
}

absl::StatusOr<Leadership> SqliteLogStore::Lead(const std::string& self) {
  const MutexLock lock(mutex_);
  leader_ = self;
  return Leadership{.mine = true, .leader = self};
}

absl::Status SqliteLogStore::Resign() {
  const MutexLock lock(mutex_);
  leader_.clear();
  return absl::OkStatus();
}

absl::Status SqliteLogStore::Append(const LogBatch& batch) {
  RETURN_IF_ERROR(CheckBatch(batch));
  const MutexLock lock(mutex_);
  if (leader_.empty()) {
    return absl::AbortedError("this node does not lead the ledger");
  }
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  ASSIGN_OR_RETURN(const Row row, ReadRow());
  if (row.head != batch.before) {
    return absl::AbortedError(
        fmt::format("the ledger has {} records by now", row.head.size));
  }
  RETURN_IF_ERROR(WriteBatch(batch));
  RETURN_IF_ERROR(transaction.Commit());
  grown_.NotifyAll();
  return absl::OkStatus();
}

absl::Status SqliteLogStore::WriteBatch(const LogBatch& batch) {
  uint64_t index = batch.before.size;
  for (const Bytes& record : batch.records) {
    sqlite::Query query = database_.Execute(statements_.put_record);
    RETURN_IF_ERROR(
        query.Bind(static_cast<int64_t>(index++)).Bind(ByteView(record)).Run());
  }
  Bytes full;
  for (const HashTile& tile : batch.tiles) {
    full = tile.hashes;
    full.resize(kTileSize);
    sqlite::Query query = database_.Execute(statements_.put_tile);
    RETURN_IF_ERROR(
        query.Bind(Place(tile.level, tile.index)).Bind(ByteView(full)).Run());
  }
  sqlite::Query query = database_.Execute(statements_.put_head);
  return query.Bind(static_cast<int64_t>(batch.after.size))
      .Bind(ByteView(batch.after.root))
      .Bind(batch.after.time_unix_ms)
      .Run();
}

absl::StatusOr<std::vector<Bytes>> SqliteLogStore::Records(uint64_t begin,
                                                           size_t limit) {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const Row row, ReadRow());
  if (begin < row.first_record) {
    return absl::OutOfRangeError(
        fmt::format("records before {} are archived", row.first_record));
  }
  std::vector<Bytes> records;
  if (begin >= row.head.size) {
    return records;
  }
  limit = std::min<uint64_t>(limit, row.head.size - begin);
  sqlite::Query query = database_.Execute(statements_.records);
  query.Bind(static_cast<int64_t>(begin)).Bind(static_cast<int64_t>(limit));
  size_t bytes = 0;
  while (records.size() < limit && bytes < kMaxRecordsBytes) {
    const auto expected = static_cast<int64_t>(begin + records.size());
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found || query.Integer(0) != expected) {
      return absl::DataLossError(
          fmt::format("the ledger has no record {}", expected));
    }
    records.push_back(query.Blob(1));
    bytes += records.back().size();
  }
  return records;
}

absl::StatusOr<HashTile> SqliteLogStore::Tile(uint32_t level, uint64_t index) {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const Row row, ReadRow());
  sqlite::Query query = database_.Execute(statements_.tile);
  ASSIGN_OR_RETURN(const bool found, query.Bind(Place(level, index)).Step());
  if (!found) {
    return absl::NotFoundError(fmt::format("no tile {}/{}", level, index));
  }
  HashTile tile{.level = level, .index = index, .hashes = query.Blob(0)};
  if (tile.hashes.size() != kTileSize) {
    return absl::DataLossError(
        fmt::format("tile {}/{} of the ledger has {} bytes", level, index,
                    tile.hashes.size()));
  }
  tile.hashes.resize(tlog::TileWidthAt(level, index, row.head.size) *
                     tlog::kHashSize);
  return tile;
}

absl::Status SqliteLogStore::PutCheckpoint(const StoredCheckpoint& checkpoint) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  {
    sqlite::Query query = database_.Execute(statements_.checkpoint);
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (row && static_cast<uint64_t>(query.Integer(0)) > checkpoint.size) {
      return absl::AbortedError(
          fmt::format("there is a checkpoint of {} records", query.Integer(0)));
    }
  }
  {
    sqlite::Query query = database_.Execute(statements_.put_checkpoint);
    RETURN_IF_ERROR(query.Bind(static_cast<int64_t>(checkpoint.size))
                        .Bind(checkpoint.note)
                        .Run());
  }
  return transaction.Commit();
}

absl::StatusOr<std::optional<StoredCheckpoint>> SqliteLogStore::Checkpoint() {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.checkpoint);
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) {
    return std::nullopt;
  }
  return StoredCheckpoint{.size = static_cast<uint64_t>(query.Integer(0)),
                          .note = query.Text(1)};
}

absl::Status SqliteLogStore::PutState(uint64_t seen_size, uint64_t size,
                                      const std::vector<StateItem>& items) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  ASSIGN_OR_RETURN(const Row row, ReadRow());
  if (row.state_size != seen_size || size < seen_size || size > row.head.size) {
    return absl::AbortedError(
        fmt::format("the state is of {} records by now", row.state_size));
  }
  for (const StateItem& item : items) {
    if (item.value.empty()) {
      sqlite::Query query = database_.Execute(statements_.drop_state);
      RETURN_IF_ERROR(query.Bind(item.key).Run());
      continue;
    }
    sqlite::Query query = database_.Execute(statements_.put_state);
    RETURN_IF_ERROR(query.Bind(item.key).Bind(ByteView(item.value)).Run());
  }
  {
    sqlite::Query query = database_.Execute(statements_.put_state_size);
    RETURN_IF_ERROR(query.Bind(static_cast<int64_t>(size)).Run());
  }
  return transaction.Commit();
}

absl::StatusOr<uint64_t> SqliteLogStore::StateSize() {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const Row row, ReadRow());
  return row.state_size;
}

absl::StatusOr<std::vector<StateItem>> SqliteLogStore::State(
    const std::string& after, size_t limit) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.state);
  query.Bind(after).Bind(static_cast<int64_t>(limit));
  std::vector<StateItem> items;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return items;
    }
    items.push_back({.key = query.Text(0), .value = query.Blob(1)});
  }
}

absl::Status SqliteLogStore::MarkArchived(const std::string& node,
                                          uint64_t size) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.mark_archived);
  return query.Bind(node).Bind(static_cast<int64_t>(size)).Run();
}

absl::Status SqliteLogStore::Trim(uint64_t before,
                                  const std::vector<std::string>& archives) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  ASSIGN_OR_RETURN(const Row row, ReadRow());
  if (before <= row.first_record) {
    return absl::OkStatus();
  }
  if (archives.empty() || before > row.state_size) {
    return absl::FailedPreconditionError(fmt::format(
        "records before {} are needed: {} archives, state of {} records",
        before, archives.size(), row.state_size));
  }
  for (const std::string& node : archives) {
    sqlite::Query query = database_.Execute(statements_.archived);
    ASSIGN_OR_RETURN(const bool known, query.Bind(node).Step());
    if (!known || static_cast<uint64_t>(query.Integer(0)) < before) {
      return absl::FailedPreconditionError(fmt::format(
          "{} has not archived the records before {}", node, before));
    }
  }
  {
    sqlite::Query query = database_.Execute(statements_.trim);
    RETURN_IF_ERROR(query.Bind(static_cast<int64_t>(before)).Run());
  }
  {
    sqlite::Query query = database_.Execute(statements_.put_first);
    RETURN_IF_ERROR(query.Bind(static_cast<int64_t>(before)).Run());
  }
  return transaction.Commit();
}

absl::StatusOr<uint64_t> SqliteLogStore::FirstRecord() {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const Row row, ReadRow());
  return row.first_record;
}

}  // namespace vmattest::ledger
