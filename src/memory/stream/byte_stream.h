#ifndef VMATTEST_MEMORY_STREAM_BYTE_STREAM_H_
#define VMATTEST_MEMORY_STREAM_BYTE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/handles.h"

namespace vmattest::memory {

// Bytes that come one after another and cannot be asked for again. One thread.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // At least one byte, for which it waits; 0: the end.
  virtual absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) = 0;
};

// Out of a file or pipe, from where it stands.
class FdStream final : public ByteStream {
 public:
  explicit FdStream(UniqueFd file) : file_(std::move(file)) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override;

 private:
  UniqueFd file_;
};

// Reads values off a stream. As with ByteReader, the first read past the end
// makes every later one zero or empty; status() then says why.
class StreamCursor {
 public:
  explicit StreamCursor(ByteStream& stream) : stream_(stream) {}

  uint8_t U8();
  uint16_t U16() { return static_cast<uint16_t>(BigEndian(2)); }
  uint32_t U32() { return static_cast<uint32_t>(BigEndian(4)); }
  uint64_t U64() { return BigEndian(8); }
  // The next `size` bytes, at most kMaxRaw, until the next read.
  ByteView Raw(size_t size);
  // Length as one byte, then the text.
  std::string ShortText();
  void Skip(uint64_t size);
  // Everything until the end. RESOURCE_EXHAUSTED: it is more than `most`.
  absl::StatusOr<Bytes> Rest(size_t most);
  // What comes next is `text`; takes nothing. Not more than kMaxRaw.
  bool NextIs(std::string_view text);

  // OK, or why nothing more came: DATA_LOSS at the stream's end.
  [[nodiscard]] const absl::Status& status() const { return status_; }
  // Taken so far.
  [[nodiscard]] uint64_t position() const { return taken_; }

  static constexpr size_t kMaxRaw = size_t{64} << 10;

 private:
  uint64_t BigEndian(size_t size);
  // Whether `size` bytes are in `buffer_` from `begin_`.
  bool Fill(size_t size);

  ByteStream& stream_;
  Bytes buffer_ = Bytes(size_t{1} << 20);
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t taken_ = 0;
  absl::Status status_;
};

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_STREAM_BYTE_STREAM_H_
