#include "sqlite/schema.h"

#include <charconv>
#include <string>

#include "fmt/format.h"

namespace vmattest::sqlite {
namespace {

// Sets a pragma and makes sure that it took.
absl::Status Require(Database& database, const char* pragma, const char* set,
                     std::string_view expected) {
  RETURN_IF_ERROR(
      database.Value(fmt::format("PRAGMA {}={}", pragma, set)).status());
  ASSIGN_OR_RETURN(const std::string value,
                   database.Value(fmt::format("PRAGMA {}", pragma)));
  if (value != expected) {
    return absl::FailedPreconditionError(
        fmt::format("SQLite has {}={} where {} is needed (is it on a local "
                    "file system?)",
                    pragma, value, set));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> IntegerPragma(Database& database, const char* pragma) {
  ASSIGN_OR_RETURN(const std::string text,
                   database.Value(fmt::format("PRAGMA {}", pragma)));
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

absl::Status Settings(Database& database) {
  RETURN_IF_ERROR(Require(database, "journal_mode", "WAL", "wal"));
  RETURN_IF_ERROR(database.Run("PRAGMA synchronous=FULL"));
  ASSIGN_OR_RETURN(const int synchronous,
                   IntegerPragma(database, "synchronous"));
  RETURN_IF_ERROR(database.Run("PRAGMA foreign_keys=ON"));
  ASSIGN_OR_RETURN(const int foreign_keys,
                   IntegerPragma(database, "foreign_keys"));
  if (synchronous != 2 || foreign_keys != 1) {
    return absl::FailedPreconditionError(
        fmt::format("SQLite has synchronous={} foreign_keys={} where 2 and 1 "
                    "are needed",
                    synchronous, foreign_keys));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PrepareSchema(Database& database, const Schema& schema) {
  const int newest = static_cast<int>(schema.steps.size());
  ASSIGN_OR_RETURN(const int version, IntegerPragma(database, "user_version"));
  ASSIGN_OR_RETURN(const int application,
                   IntegerPragma(database, "application_id"));
  ASSIGN_OR_RETURN(const std::string tables,
                   database.Value("SELECT count(*) FROM sqlite_schema"));
  const bool empty = version == 0 && application == 0 && tables == "0";
  if (!empty && application != schema.application_id) {
    return absl::DataLossError(
        fmt::format("this is not a vmattest {}", schema.name));
  }
  if (version > newest) {
    return absl::FailedPreconditionError(
        fmt::format("written by a newer vmattest (schema {}, this one knows up "
                    "to {}): run that one",
                    version, newest));
  }
  RETURN_IF_ERROR(Settings(database));
  ASSIGN_OR_RETURN(const std::string integrity,
                   database.Value("PRAGMA quick_check(1)"));
  if (integrity != "ok") {
    return absl::DataLossError(integrity);
  }
  Transaction transaction(database);
  RETURN_IF_ERROR(transaction.Begin());
  for (int step = version; step < newest; ++step) {
    RETURN_IF_ERROR(database.Run(schema.steps[static_cast<size_t>(step)]));
  }
  RETURN_IF_ERROR(database.Run(
      fmt::format("PRAGMA application_id={}; PRAGMA user_version={}",
                  schema.application_id, newest)));
  return transaction.Commit();
}

}  // namespace vmattest::sqlite
