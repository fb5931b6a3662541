#include "guestchannel/protocol/frames.h"

#include <algorithm>
#include <utility>

namespace vmattest::guestchannel {

Bytes EncodeFrame(ByteView payload) {
  ByteWriter writer;
  writer.Raw(kFrameMagic).Sized(payload);
  return std::move(writer).Take();
}

void FrameReader::Feed(ByteView bytes) {
  const ByteView taken = bytes.first(std::min(bytes.size(), room()));
  buffer_.insert(buffer_.end(), taken.begin(), taken.end());
}

void FrameReader::Skip(size_t bytes) {
  buffer_.erase(buffer_.begin(),
                buffer_.begin() + static_cast<ptrdiff_t>(bytes));
  skipped_ += bytes;
}

std::optional<Bytes> FrameReader::Next() {
  const ByteView all = buffer_;
  const std::string_view text = AsText(all);
  for (size_t at = 0; at < all.size(); ++at) {
    const size_t seen = std::min(kFrameMagic.size(), all.size() - at);
    if (text.substr(at, seen) != kFrameMagic.substr(0, seen)) {
      continue;
    }
    if (all.size() - at < kFrameHeader) {
      Skip(at);
      return std::nullopt;
    }
    ByteReader header(all.subspan(at + kFrameMagic.size()));
    const size_t size = header.U32();
    if (size == 0 || size > kMaxFrame) {
      continue;
    }
    if (all.size() - at - kFrameHeader < size) {
      Skip(at);
      return std::nullopt;
    }
    Bytes payload = ToBytes(all.subspan(at + kFrameHeader, size));
    Skip(at);
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(
                                                         kFrameHeader + size));
    return payload;
  }
  Skip(all.size());
  return std::nullopt;
}

void FrameReader::GiveUp() {
  if (!buffer_.empty()) {
    Skip(1);
  }
}

}  // namespace vmattest::guestchannel
