#ifndef VMATTEST_GUESTCHANNEL_PROTOCOL_FRAMES_H_
#define VMATTEST_GUESTCHANNEL_PROTOCOL_FRAMES_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"

// Messages on a port whose other end may be anybody, at any point of anything:
// programs in the guest come and go without the host seeing it, and one may
// have left half a message. docs/formats/guest-channel.md.

namespace vmattest::guestchannel {

inline constexpr std::string_view kFrameMagic = "vmA\x01";
inline constexpr size_t kFrameHeader = 8;  // magic, length as big-endian U32
inline constexpr size_t kMaxFrame = 4096;

// `payload` has 1 to kMaxFrame bytes.
Bytes EncodeFrame(ByteView payload);

// Finds frames in hostile bytes: what is none is skipped. Holds at most one
// frame's bytes. One thread.
class FrameReader {
 public:
  // How many bytes Feed() takes.
  [[nodiscard]] size_t room() const {
    return kFrameHeader + kMaxFrame - buffer_.size();
  }
  // At most room(). Next() is to be called until it has none.
  void Feed(ByteView bytes);
  std::optional<Bytes> Next();
  // A frame has begun and not ended.
  [[nodiscard]] bool waiting() const { return !buffer_.empty(); }
  // What has begun does not count as a frame any more: whatever came after its
  // first byte is looked at anew.
  void GiveUp();
  [[nodiscard]] uint64_t skipped() const { return skipped_; }

 private:
  void Skip(size_t bytes);

  Bytes buffer_;
  uint64_t skipped_ = 0;
};

}  // namespace vmattest::guestchannel

#endif  // VMATTEST_GUESTCHANNEL_PROTOCOL_FRAMES_H_
