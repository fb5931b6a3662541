#ifndef VMATTEST_SQLITE_SCHEMA_H_
#define VMATTEST_SQLITE_SCHEMA_H_

#include <span>
#include <string_view>

#include "sqlite/database.h"

namespace vmattest::sqlite {

// The tables of one kind of file.
struct Schema {
  int application_id = 0;  // tells files of this kind from all others
  // steps[n] leads from version n to n + 1; never changed once released.
  std::span<const char* const> steps;
  std::string_view name;  // for people: "inventory"
};

// Settings that durability needs (write-ahead log, synchronous=FULL), read
// back; integrity; then the steps from the file's version (0: empty) to the
// newest, all or none.
//   DATA_LOSS            damaged, or another kind of file
//   FAILED_PRECONDITION  written by a newer version, or SQLite refuses a
//                        setting that durability needs
absl::Status PrepareSchema(Database& database, const Schema& schema);

}  // namespace vmattest::sqlite

#endif  // VMATTEST_SQLITE_SCHEMA_H_
