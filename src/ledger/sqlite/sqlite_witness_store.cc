#include "ledger/sqlite/sqlite_witness_store.h"

#include <array>

#include "fmt/format.h"
#include "sqlite/local_file_system.h"
#include "sqlite/schema.h"

namespace vmattest::ledger {
namespace {

// "VMAW": tells our files from other people's.
constexpr int kApplicationId = 0x564D4157;

constexpr std::array<const char*, 1> kSteps = {R"sql(
CREATE TABLE seen(
  origin TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  note TEXT NOT NULL) STRICT, WITHOUT ROWID;
)sql"};

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteWitnessStore>> SqliteWitnessStore::Open(
    const std::filesystem::path& path) {
  const std::string clause = fmt::format("witness store {}", path.string());
  RETURN_IF_ERROR_WITH(sqlite::RequireLocalFileSystem(path), clause);
  ASSIGN_OR_RETURN(sqlite::Database database,
                   sqlite::Database::Open(path, "witness store"));
  RETURN_IF_ERROR_WITH(
      sqlite::PrepareSchema(database, {.application_id = kApplicationId,
                                       .steps = kSteps,
                                       .name = "witness store"}),
      clause);
  std::unique_ptr<SqliteWitnessStore> store(
      new SqliteWitnessStore(std::move(database)));
  const MutexLock opening(store->mutex_);
  ASSIGN_OR_RETURN(store->find_,
                   store->database_.Prepare(
                       "SELECT size, root, note FROM seen WHERE origin=?"));
  ASSIGN_OR_RETURN(store->put_,
                   store->database_.Prepare(
                       "INSERT OR REPLACE INTO seen VALUES(?, ?, ?, ?)"));
  return store;
}

absl::StatusOr<tlog::WitnessStore::Seen> SqliteWitnessStore::FindLocked(
    const std::string& origin) {
  sqlite::Query query = database_.Execute(find_);
  ASSIGN_OR_RETURN(const bool row, query.Bind(origin).Step());
  if (!row) {
    return Seen();
  }
  return Seen{.size = static_cast<uint64_t>(query.Integer(0)),
              .root = query.Blob(1),
              .note = query.Text(2)};
}

absl::StatusOr<tlog::WitnessStore::Seen> SqliteWitnessStore::Find(
    const std::string& origin) {
  const MutexLock lock(mutex_);
  return FindLocked(origin);
}

absl::Status SqliteWitnessStore::Replace(const std::string& origin,
                                         const Seen& before,
                                         const Seen& after) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  ASSIGN_OR_RETURN(const Seen now, FindLocked(origin));
  if (!(now == before)) {
    return absl::AbortedError(
        fmt::format("a checkpoint of {} records is there", now.size));
  }
  {
    sqlite::Query query = database_.Execute(put_);
    RETURN_IF_ERROR(query.Bind(origin)
                        .Bind(static_cast<int64_t>(after.size))
                        .Bind(ByteView(after.root))
                        .Bind(after.note)
                        .Run());
  }
  return transaction.Commit();
}

}  // namespace vmattest::ledger
