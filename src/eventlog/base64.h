#ifndef VMATTEST_EVENTLOG_BASE64_H_
#define VMATTEST_EVENTLOG_BASE64_H_

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace vmattest::eventlog {

// RFC 4648, section 4, with padding.
std::string ToBase64(ByteView bytes);
// INVALID_ARGUMENT: anything that ToBase64 would not have written.
absl::StatusOr<Bytes> ParseBase64(std::string_view text);

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_BASE64_H_
