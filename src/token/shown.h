#ifndef VMATTEST_TOKEN_SHOWN_H_
#define VMATTEST_TOKEN_SHOWN_H_

#include <string>

#include "base/strict_json.h"

namespace vmattest::token {

// What a hostile value looks like, for a reason: ASCII, one short line.
inline std::string Shown(const nlohmann::json& value) {
  constexpr size_t kLimit = 80;
  if (value.is_structured()) {
    return value.is_array() ? "an array" : "an object";
  }
  std::string text = CanonicalJson(value);
  if (value.is_string()) {
    text = text.substr(1, text.size() - 2);
  }
  if (text.size() > kLimit) {
    text.replace(kLimit, std::string::npos, "...");
  }
  return text;
}

}  // namespace vmattest::token

#endif  // VMATTEST_TOKEN_SHOWN_H_
