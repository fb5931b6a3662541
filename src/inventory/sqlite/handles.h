#ifndef VMATTEST_INVENTORY_SQLITE_HANDLES_H_
#define VMATTEST_INVENTORY_SQLITE_HANDLES_H_

#include <sqlite3.h>

#include <memory>

#include "base/handles.h"

namespace vmattest::inventory {

using DatabaseHandle = std::unique_ptr<sqlite3, Closer<sqlite3_close>>;
using StatementHandle = std::unique_ptr<sqlite3_stmt, Closer<sqlite3_finalize>>;

}  // namespace vmattest::inventory

#endif  // VMATTEST_INVENTORY_SQLITE_HANDLES_H_
