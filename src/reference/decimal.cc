#include "reference/decimal.h"

#include <algorithm>

namespace vmattest::reference {

bool IsDecimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  text.remove_prefix(negative ? 1 : 0);
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c >= '0' && c <= '9';
  }) && (text.front() != '0' || (text.size() == 1 && !negative));
}

std::strong_ordering CompareDecimals(std::string_view a, std::string_view b) {
  const bool negative = a.starts_with('-');
  if (negative != b.starts_with('-')) {
    return negative ? std::strong_ordering::less
                    : std::strong_ordering::greater;
  }
  if (negative) {
    return CompareDecimals(b.substr(1), a.substr(1));
  }
  return a.size() != b.size() ? a.size() <=> b.size() : a.compare(b) <=> 0;
}

}  // namespace vmattest::reference
