#ifndef VMATTEST_SQLITE_HANDLES_H_
#define VMATTEST_SQLITE_HANDLES_H_

#include <sqlite3.h>

#include <memory>

#include "base/handles.h"

namespace vmattest::sqlite {

using DatabaseHandle = std::unique_ptr<sqlite3, Closer<sqlite3_close>>;
using StatementHandle = std::unique_ptr<sqlite3_stmt, Closer<sqlite3_finalize>>;

}  // namespace vmattest::sqlite

#endif  // VMATTEST_SQLITE_HANDLES_H_
