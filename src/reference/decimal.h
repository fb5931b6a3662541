#ifndef VMATTEST_REFERENCE_DECIMAL_H_
#define VMATTEST_REFERENCE_DECIMAL_H_

#include <compare>
#include <string_view>

namespace vmattest::reference {

// An integer as leaves have it: decimal, "-" or nothing before it, no leading
// zeros, no "-0", of any length.
bool IsDecimal(std::string_view text);

// By value. Both must be decimals.
std::strong_ordering CompareDecimals(std::string_view a, std::string_view b);

}  // namespace vmattest::reference

#endif  // VMATTEST_REFERENCE_DECIMAL_H_
