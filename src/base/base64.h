#ifndef VMATTEST_BASE_BASE64_H_
#define VMATTEST_BASE_BASE64_H_

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace vmattest {

// RFC 4648, section 4, with padding.
std::string ToBase64(ByteView bytes);
// INVALID_ARGUMENT: anything that ToBase64 would not have written.
absl::StatusOr<Bytes> ParseBase64(std::string_view text);

// RFC 4648, section 5, without padding, as RFC 7515 (JWS) has it.
std::string ToBase64Url(ByteView bytes);
// INVALID_ARGUMENT: anything that ToBase64Url would not have written.
absl::StatusOr<Bytes> ParseBase64Url(std::string_view text);

}  // namespace vmattest

#endif  // VMATTEST_BASE_BASE64_H_
