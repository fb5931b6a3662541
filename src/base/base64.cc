#include "base/base64.h"

#include <algorithm>
#include <array>

namespace vmattest {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint8_t kNone = 0xFF;

using Values = std::array<uint8_t, 256>;

constexpr Values MakeValues(std::string_view alphabet) {
  Values values{};
  for (uint8_t& value : values) {
    value = kNone;
  }
  for (size_t i = 0; i < alphabet.size(); ++i) {
    values[static_cast<uint8_t>(alphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}
constexpr Values kValues = MakeValues(kAlphabet);
constexpr Values kUrlValues = MakeValues(kUrlAlphabet);

// Without padding.
std::string EncodeDigits(ByteView bytes, std::string_view alphabet) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? bytes[i + j] : 0u);
    }
    for (size_t j = 0; j <= count; ++j) {
      text += alphabet[group >> (18 - 6 * j) & 0x3F];
    }
  }
  return text;
}

bool DecodeDigits(std::string_view digits, const Values& values, Bytes* bytes) {
  bytes->reserve(digits.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int count = 0;
  for (const char digit : digits) {
    const uint8_t value = values[static_cast<uint8_t>(digit)];
    if (value == kNone) {
      return false;
    }
    bits = (bits << 6 | value) & 0xFFFF;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes->push_back(static_cast<uint8_t>(bits >> count));
    }
  }
  // Neither a digit that ends no byte nor bits that belong to none.
  return count < 6 && (bits & ((1u << count) - 1)) == 0;
}

}  // namespace

std::string ToBase64(ByteView bytes) {
  std::string text = EncodeDigits(bytes, kAlphabet);
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

absl::StatusOr<Bytes> ParseBase64(std::string_view text) {
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  Bytes bytes;
  if (text.size() % 4 != 0 ||
      !DecodeDigits(text.substr(0, text.size() - padding), kValues, &bytes)) {
    return absl::InvalidArgumentError("not base64 with padding");
  }
  return bytes;
}

std::string ToBase64Url(ByteView bytes) {
  return EncodeDigits(bytes, kUrlAlphabet);
}

absl::StatusOr<Bytes> ParseBase64Url(std::string_view text) {
  Bytes bytes;
  if (!DecodeDigits(text, kUrlValues, &bytes)) {
    return absl::InvalidArgumentError("not base64url without padding");
  }
  return bytes;
}

}  // namespace vmattest
