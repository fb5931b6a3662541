#include "base/bytes.h"

#include "fmt/format.h"

namespace vmattest {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

}  // namespace

std::string ToHex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const uint8_t byte : bytes) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 0xf]);
  }
  return hex;
}

absl::StatusOr<Bytes> ParseHex(std::string_view hex) {
  if (hex.size() % 2 != 0) {
    return absl::InvalidArgumentError("hex has an odd number of digits");
  }
  Bytes bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = HexDigit(hex[i]);
    const int low = HexDigit(hex[i + 1]);
    if (high < 0 || low < 0) {
      return absl::InvalidArgumentError(fmt::format(
          "hex has a foreign character at position {}", high < 0 ? i : i + 1));
    }
    bytes.push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return bytes;
}

bool ConstantTimeEqual(ByteView a, ByteView b) {
  if (a.size() != b.size()) {
    return false;
  }
  volatile uint8_t difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = difference | static_cast<uint8_t>(a[i] ^ b[i]);
  }
  return difference == 0;
}

ByteWriter& ByteWriter::U8(uint8_t value) {
  bytes_.push_back(value);
  return *this;
}

ByteWriter& ByteWriter::U16(uint16_t value) {
  return U8(static_cast<uint8_t>(value >> 8)).U8(static_cast<uint8_t>(value));
}

ByteWriter& ByteWriter::U32(uint32_t value) {
  return U16(static_cast<uint16_t>(value >> 16))
      .U16(static_cast<uint16_t>(value));
}

ByteWriter& ByteWriter::U64(uint64_t value) {
  return U32(static_cast<uint32_t>(value >> 32))
      .U32(static_cast<uint32_t>(value));
}

ByteWriter& ByteWriter::Raw(ByteView bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

ByteWriter& ByteWriter::Sized(ByteView bytes) {
  return U32(static_cast<uint32_t>(bytes.size())).Raw(bytes);
}

uint64_t ByteReader::BigEndian(size_t size) {
  uint64_t value = 0;
  for (const uint8_t byte : Raw(size)) {
    value = value << 8 | byte;
  }
  return value;
}

uint8_t ByteReader::U8() { return static_cast<uint8_t>(BigEndian(1)); }
uint16_t ByteReader::U16() { return static_cast<uint16_t>(BigEndian(2)); }
uint32_t ByteReader::U32() { return static_cast<uint32_t>(BigEndian(4)); }
uint64_t ByteReader::U64() { return BigEndian(8); }

ByteView ByteReader::Raw(size_t size) {
  if (!ok_ || size > rest_.size()) {
    ok_ = false;
    rest_ = {};
    return {};
  }
  const ByteView taken = rest_.first(size);
  rest_ = rest_.subspan(size);
  return taken;
}

}  // namespace vmattest
