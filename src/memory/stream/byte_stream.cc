#include "memory/stream/byte_stream.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fmt/format.h"

namespace vmattest::memory {

absl::StatusOr<size_t> FdStream::Read(std::span<uint8_t> buffer) {
  while (true) {
    const ssize_t got = read(file_.get(), buffer.data(), buffer.size());
    if (got >= 0) {
      return static_cast<size_t>(got);
    }
    if (errno != EINTR) {
      return ErrnoStatus(errno, "reading saved memory");
    }
  }
}

bool StreamCursor::Fill(size_t size) {
  if (end_ - begin_ >= size) {
    return true;
  }
  if (!status_.ok()) {
    return false;
  }
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  while (end_ < size) {
    const absl::StatusOr<size_t> got =
        stream_.Read(std::span(buffer_).subspan(end_));
    if (!got.ok() || *got == 0) {
      status_ = got.ok() ? absl::DataLossError(fmt::format(
                               "it ends after {} bytes", taken_ + end_))
                         : got.status();
      return false;
    }
    end_ += *got;
  }
  return true;
}

ByteView StreamCursor::Raw(size_t size) {
  if (size > kMaxRaw || !Fill(size)) {
    return {};
  }
  const ByteView bytes = ByteView(buffer_).subspan(begin_, size);
  begin_ += size;
  taken_ += size;
  return bytes;
}

uint8_t StreamCursor::U8() { return static_cast<uint8_t>(BigEndian(1)); }

uint64_t StreamCursor::BigEndian(size_t size) {
  uint64_t value = 0;
  for (const uint8_t byte : Raw(size)) {
    value = value << 8 | byte;
  }
  return value;
}

std::string StreamCursor::ShortText() {
  const size_t size = U8();
  return std::string(AsText(Raw(size)));
}

void StreamCursor::Skip(uint64_t size) {
  while (size > 0 && status_.ok()) {
    const size_t piece = std::min<uint64_t>(size, kMaxRaw);
    Raw(piece);
    size -= piece;
  }
}

absl::StatusOr<Bytes> StreamCursor::Rest(size_t most) {
  Bytes rest;
  while (Fill(1)) {
    if (rest.size() + (end_ - begin_) > most) {
      return absl::ResourceExhaustedError(
          fmt::format("more than {} bytes at its end", most));
    }
    rest.insert(rest.end(), buffer_.begin() + static_cast<ptrdiff_t>(begin_),
                buffer_.begin() + static_cast<ptrdiff_t>(end_));
    taken_ += end_ - begin_;
    begin_ = end_;
  }
  if (!absl::IsDataLoss(status_)) {
    return status_;
  }
  return rest;
}

bool StreamCursor::NextIs(std::string_view text) {
  return text.size() <= kMaxRaw && Fill(text.size()) &&
         AsText(ByteView(buffer_).subspan(begin_, text.size())) == text;
}

}  // namespace vmattest::memory
