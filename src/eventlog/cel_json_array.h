#ifndef VMATTEST_EVENTLOG_CEL_JSON_ARRAY_H_
#define VMATTEST_EVENTLOG_CEL_JSON_ARRAY_H_

#include <vector>

#include "eventlog/cel.h"
#include "eventlog/json_cursor.h"

namespace vmattest::eventlog {

// The array of CEL-JSON records that is next, one record in memory beside
// those parsed. INVALID_ARGUMENT names the record, counted from 0.
absl::StatusOr<std::vector<CelRecord>> ParseCelJsonArray(JsonCursor& cursor);

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_CEL_JSON_ARRAY_H_
