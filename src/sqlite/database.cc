#include "sqlite/database.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/handles.h"
#include "fmt/format.h"

namespace vmattest::sqlite {
namespace {

constexpr int kBusyTimeoutMs = 5000;

absl::StatusCode CodeOf(int code) {
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kNotFound;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status SqliteStatus(sqlite3* database, int code,
                          std::string_view clause) {
  const char* const text =
      database != nullptr && sqlite3_errcode(database) == (code & 0xff)
          ? sqlite3_errmsg(database)
          : sqlite3_errstr(code);
  return {CodeOf(code), fmt::format("{}: {}", clause, text)};
}

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Query::Keep(int code) {
  if (error_ == SQLITE_OK) {
    error_ = code;
  }
}

Query& Query::Bind(int64_t value) {
  Keep(sqlite3_bind_int64(statement_, next_++, value));
  return *this;
}

Query& Query::Bind(std::string_view text) {
  Keep(sqlite3_bind_text(statement_, next_++, text.data(),
                         static_cast<int>(text.size()), SQLITE_TRANSIENT));
  return *this;
}

Query& Query::Bind(ByteView blob) {
  Keep(sqlite3_bind_blob(
      statement_, next_++,
      blob.empty() ? static_cast<const void*>("") : blob.data(),
      static_cast<int>(blob.size()), SQLITE_TRANSIENT));
  return *this;
}

Query& Query::BindNull() {
  Keep(sqlite3_bind_null(statement_, next_++));
  return *this;
}

absl::StatusOr<bool> Query::Step() {
  if (error_ == SQLITE_OK) {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
      return code == SQLITE_ROW;
    }
    error_ = code;
  }
  return SqliteStatus(database_, error_, name_);
}

absl::Status Query::Run() { return Step().status(); }

bool Query::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

int64_t Query::Integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Query::Text(int column) const {
  const auto* const text =
      reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text == nullptr
             ? std::string()
             : std::string(text, static_cast<size_t>(
                                     sqlite3_column_bytes(statement_, column)));
}

Bytes Query::Blob(int column) const {
  const auto* const data =
      static_cast<const uint8_t*>(sqlite3_column_blob(statement_, column));
  const auto size =
      static_cast<size_t>(sqlite3_column_bytes(statement_, column));
  return data == nullptr ? Bytes() : Bytes(data, data + size);
}

absl::StatusOr<Database> Database::Open(const std::string& path,
                                        std::string name) {
  // SQLite gives its journal files the mode of the database.
  const UniqueFd created(
      open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!created.valid()) {
    return ErrnoStatus(errno, fmt::format("{} {}", name, path));
  }
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  DatabaseHandle handle(raw);
  if (code != SQLITE_OK) {
    return SqliteStatus(raw, code, fmt::format("{} {}", name, path));
  }
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  return Database(std::move(handle), std::move(name));
}

absl::StatusOr<StatementHandle> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(handle_.get(), sql.data(),
                                      static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (code != SQLITE_OK) {
    return SqliteStatus(handle_.get(), code, "preparing a statement");
  }
  return StatementHandle(raw);
}

absl::Status Database::Run(const std::string& sql) {
  const int code =
      sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus()
                           : SqliteStatus(handle_.get(), code, *name_);
}

absl::StatusOr<std::string> Database::Value(const std::string& sql) {
  ASSIGN_OR_RETURN(const StatementHandle statement, Prepare(sql));
  Query query = Execute(statement);
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) {
    return absl::InternalError(fmt::format("no answer to {}", sql));
  }
  return query.Text(0);
}

Transaction::~Transaction() {
  if (open_) {
    // SQLite has already rolled back after some errors; then this one fails.
    database_.Run("ROLLBACK").IgnoreError();
  }
}

absl::Status Transaction::Begin() {
  RETURN_IF_ERROR(database_.Run("BEGIN IMMEDIATE"));
  open_ = true;
  return absl::OkStatus();
}

absl::Status Transaction::Commit() {
  RETURN_IF_ERROR(database_.Run("COMMIT"));
  open_ = false;
  return absl::OkStatus();
}

}  // namespace vmattest::sqlite
