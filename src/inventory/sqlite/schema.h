#ifndef VMATTEST_INVENTORY_SQLITE_SCHEMA_H_
#define VMATTEST_INVENTORY_SQLITE_SCHEMA_H_

#include "sqlite/schema.h"

namespace vmattest::inventory {

// The version of the tables that this program reads and writes.
inline constexpr int kSchemaVersion = 2;

// sqlite::PrepareSchema with the tables of the inventory.
absl::Status PrepareSchema(sqlite::Database& database);

}  // namespace vmattest::inventory

#endif  // VMATTEST_INVENTORY_SQLITE_SCHEMA_H_
