#ifndef VMATTEST_BASE_STRICT_JSON_H_
#define VMATTEST_BASE_STRICT_JSON_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "nlohmann/json.hpp"

// JSON from outside: no name twice in an object, nothing after the value,
// bounded depth. Pure; any thread.

namespace vmattest {

// INVALID_ARGUMENT: not JSON, a name twice, or nested deeper than `max_depth`.
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text,
                                               int max_depth = 8);

// Canonical: names sorted, no white space, ASCII only. Bytes that are no UTF-8
// become U+FFFD.
std::string CanonicalJson(const nlohmann::json& json);

}  // namespace vmattest

#endif  // VMATTEST_BASE_STRICT_JSON_H_
