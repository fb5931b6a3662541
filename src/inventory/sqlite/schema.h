#ifndef VMATTEST_INVENTORY_SQLITE_SCHEMA_H_
#define VMATTEST_INVENTORY_SQLITE_SCHEMA_H_

#include "inventory/sqlite/database.h"

namespace vmattest::inventory {

// The version of the tables that this program reads and writes.
inline constexpr int kSchemaVersion = 2;

// Settings that durability needs, read back; integrity; then the steps from
// the file's version (0: empty) to kSchemaVersion, all or none. Errors as
// SqliteVmStore::Open, without the path.
absl::Status PrepareSchema(Database& database);

}  // namespace vmattest::inventory

#endif  // VMATTEST_INVENTORY_SQLITE_SCHEMA_H_
