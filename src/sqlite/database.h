#ifndef VMATTEST_SQLITE_DATABASE_H_
#define VMATTEST_SQLITE_DATABASE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "sqlite/handles.h"

namespace vmattest::sqlite {

// SQLite's C API as values, for the adapters of stores. Nothing here knows what
// is stored.

// One execution of a prepared statement: bind in order, step, read. Ready for
// the next one when it goes out of scope. The first error is kept and comes
// out of Step() or Run().
class Query {
 public:
  // `name` is what errors call the file; it must outlive the query.
  Query(sqlite3* database, sqlite3_stmt* statement, std::string_view name)
      : database_(database), statement_(statement), name_(name) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();

  Query& Bind(int64_t value);
  Query& Bind(std::string_view text);
  Query& Bind(ByteView blob);
  Query& BindNull();

  // True: a row is there. False: no more.
  absl::StatusOr<bool> Step();
  // A statement without rows.
  absl::Status Run();

  [[nodiscard]] bool IsNull(int column) const;
  [[nodiscard]] int64_t Integer(int column) const;
  [[nodiscard]] std::string Text(int column) const;
  [[nodiscard]] Bytes Blob(int column) const;

 private:
  void Keep(int code);

  sqlite3* database_;
  sqlite3_stmt* statement_;
  std::string_view name_;
  int next_ = 1;
  int error_ = SQLITE_OK;
};

// An SQLite file. One thread at a time.
class Database {
 public:
  // Creates the file, readable by its owner only, if there is none. `name` is
  // what errors call it: "inventory".
  static absl::StatusOr<Database> Open(const std::string& path,
                                       std::string name);

  // Prepared once by the caller and kept.
  absl::StatusOr<StatementHandle> Prepare(std::string_view sql);
  [[nodiscard]] Query Execute(const StatementHandle& statement) {
    return {handle_.get(), statement.get(), *name_};
  }
  // Any number of statements without results.
  absl::Status Run(const std::string& sql);
  // The one value of a pragma or a one-row query, as text.
  absl::StatusOr<std::string> Value(const std::string& sql);

 private:
  Database(DatabaseHandle handle, std::string name)
      : handle_(std::move(handle)),
        name_(std::make_unique<const std::string>(std::move(name))) {}

  DatabaseHandle handle_;
  std::unique_ptr<const std::string> name_;  // queries view it
};

// Rolls back unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();

  absl::Status Begin();
  absl::Status Commit();

 private:
  Database& database_;
  bool open_ = false;
};

// DATA_LOSS: damaged, or no database. RESOURCE_EXHAUSTED: disk full.
// UNAVAILABLE: locked. PERMISSION_DENIED, NOT_FOUND, INTERNAL.
absl::Status SqliteStatus(sqlite3* database, int code, std::string_view clause);

}  // namespace vmattest::sqlite

#endif  // VMATTEST_SQLITE_DATABASE_H_
