#ifndef VMATTEST_BASE_BYTES_H_
#define VMATTEST_BASE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace vmattest {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;

// Views text as bytes and back; nothing is copied.
inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes ToBytes(ByteView view) { return {view.begin(), view.end()}; }
inline Bytes ToBytes(std::string_view text) { return ToBytes(AsBytes(text)); }

// Lower-case hexadecimal. Parsing accepts both cases, nothing else.
std::string ToHex(ByteView bytes);
absl::StatusOr<Bytes> ParseHex(std::string_view hex);

// True if equal; time depends on the sizes only.
bool ConstantTimeEqual(ByteView a, ByteView b);

// Builds a byte string whose parts cannot run into each other.
class ByteWriter {
 public:
  ByteWriter& U8(uint8_t value);
  ByteWriter& U16(uint16_t value);  // big-endian, like the TPM's
  ByteWriter& U32(uint32_t value);
  ByteWriter& U64(uint64_t value);
  ByteWriter& Raw(ByteView bytes);
  ByteWriter& Raw(std::string_view text) { return Raw(AsBytes(text)); }
  // Length as U32, then the bytes.
  ByteWriter& Sized(ByteView bytes);
  ByteWriter& Sized(std::string_view text) { return Sized(AsBytes(text)); }

  [[nodiscard]] const Bytes& bytes() const { return bytes_; }
  [[nodiscard]] Bytes Take() && { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Reads hostile bytes front to back. The first read past the end makes every
// later one return zero or empty, and ok() false: check once, at the end.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : rest_(bytes) {}

  uint8_t U8();
  uint16_t U16();  // big-endian
  uint32_t U32();
  uint64_t U64();
  ByteView Raw(size_t size);

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool AtEnd() const { return ok_ && rest_.empty(); }
  [[nodiscard]] size_t remaining() const { return rest_.size(); }

 private:
  uint64_t BigEndian(size_t size);

  ByteView rest_;
  bool ok_ = true;
};

}  // namespace vmattest

#endif  // VMATTEST_BASE_BYTES_H_
