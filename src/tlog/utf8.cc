#include "tlog/utf8.h"

#include <cstdint>
#include <optional>

namespace vmattest::tlog {
namespace {

// Takes one code point off the front; nothing for bytes that are no UTF-8:
// overlong forms, surrogates and values past U+10FFFF included.
std::optional<uint32_t> Next(std::string_view& text) {
  const auto first = static_cast<uint8_t>(text[0]);
  const size_t size = first < 0x80   ? 1
                      : first < 0xC2 ? 0
                      : first < 0xE0 ? 2
                      : first < 0xF0 ? 3
                      : first < 0xF5 ? 4
                                     : 0;
  if (size == 0 || size > text.size()) {
    return std::nullopt;
  }
  uint32_t code = size == 1 ? first : first & (0x7F >> size);
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xC0) != 0x80) {
      return std::nullopt;
    }
    code = (code << 6) | (byte & 0x3F);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[size] || code > 0x10FFFF ||
      (code >= 0xD800 && code < 0xE000)) {
    return std::nullopt;
  }
  text.remove_prefix(size);
  return code;
}

bool IsSpace(uint32_t code) {
  return code == 0x20 || (code >= 0x09 && code <= 0x0D) || code == 0x85 ||
         code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

template <class Allowed>
bool AllAre(std::string_view text, Allowed allowed) {
  while (!text.empty()) {
    const std::optional<uint32_t> code = Next(text);
    if (!code || !allowed(*code)) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool IsNoteText(std::string_view text) {
  return AllAre(text,
                [](uint32_t code) { return code >= 0x20 || code == '\n'; });
}

bool IsUtf8WithoutSpaces(std::string_view text) {
  return AllAre(text,
                [](uint32_t code) { return code >= 0x20 && !IsSpace(code); });
}

}  // namespace vmattest::tlog
