#include "base/uuid.h"

#include <algorithm>

#include "base/bytes.h"
#include "fmt/format.h"

namespace vmattest {

std::string ToString(const Uuid& uuid) {
  std::string text = ToHex(uuid.bytes);
  for (const size_t at : {20, 16, 12, 8}) {
    text.insert(at, 1, '-');
  }
  return text;
}

absl::StatusOr<Uuid> ParseUuid(std::string_view text) {
  std::string hex(text);
  if (hex.size() == 36 && hex[8] == '-' && hex[13] == '-' && hex[18] == '-' &&
      hex[23] == '-') {
    std::erase(hex, '-');
  }
  const absl::StatusOr<Bytes> bytes = ParseHex(hex);
  if (!bytes.ok() || bytes->size() != 16) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is not a UUID", text.substr(0, 64)));
  }
  Uuid uuid;
  std::copy(bytes->begin(), bytes->end(), uuid.bytes.begin());
  return uuid;
}

}  // namespace vmattest
