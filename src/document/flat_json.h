#ifndef VMATTEST_DOCUMENT_FLAT_JSON_H_
#define VMATTEST_DOCUMENT_FLAT_JSON_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/secret_bytes.h"

// The JSON of key files: one object whose members are all texts. Callable from
// any thread.

namespace vmattest::document {

inline constexpr size_t kMaxKeyFileSize = 64u << 10;

// Values wipe themselves, and the parser's copies are wiped.
using FlatJson = std::map<std::string, SecretBytes, std::less<>>;

// INVALID_ARGUMENT: too large, not such an object, or a name twice.
absl::StatusOr<FlatJson> ParseFlatJson(ByteView text);

// `text` as a JSON string, in quotes.
std::string JsonString(std::string_view text);

}  // namespace vmattest::document

#endif  // VMATTEST_DOCUMENT_FLAT_JSON_H_
