#include "guestchannel/protocol/frames.h"

#include "gmock/gmock.h"

namespace vmattest::guestchannel {
namespace {

Bytes Two(const Bytes& first, const Bytes& second) {
  Bytes both = first;
  both.insert(both.end(), second.begin(), second.end());
  return both;
}

TEST(FrameReaderTest, FindsAFrameWhateverThePiecesItComesIn) {
  const Bytes frame = EncodeFrame(ToBytes("hello"));
  for (size_t piece = 1; piece <= frame.size(); ++piece) {
    FrameReader reader;
    std::optional<Bytes> found;
    for (size_t at = 0; at < frame.size(); at += piece) {
      EXPECT_FALSE(found);
      reader.Feed(
          ByteView(frame).subspan(at, std::min(piece, frame.size() - at)));
      found = reader.Next();
    }
    EXPECT_EQ(found, ToBytes("hello")) << piece;
    EXPECT_FALSE(reader.waiting());
    EXPECT_EQ(reader.skipped(), 0U);
  }
}

TEST(FrameReaderTest, GarbageBeforeAFrameIsSkipped) {
  FrameReader reader;
  reader.Feed(Two(ToBytes("vmvmAvm\x01 rubbish"), EncodeFrame(ToBytes("x"))));
  EXPECT_EQ(reader.Next(), ToBytes("x"));
  EXPECT_EQ(reader.skipped(), 16U);
  EXPECT_FALSE(reader.Next());
}

TEST(FrameReaderTest, LengthsThatNoFrameHasBeginNone) {
  for (const uint32_t size : {0U, uint32_t{kMaxFrame} + 1, 0xffffffffU}) {
    ByteWriter bad;
    bad.Raw(kFrameMagic).U32(size);
    FrameReader reader;
    reader.Feed(Two(bad.bytes(), EncodeFrame(ToBytes("x"))));
    EXPECT_EQ(reader.Next(), ToBytes("x")) << size;
    EXPECT_EQ(reader.skipped(), kFrameHeader);
  }
}

TEST(FrameReaderTest, HoldsNoMoreThanOneFrame) {
  FrameReader reader;
  const Bytes frame = EncodeFrame(Bytes(kMaxFrame, 'v'));
  EXPECT_EQ(frame.size(), reader.room());
  reader.Feed(ByteView(frame).first(frame.size() - 1));
  EXPECT_FALSE(reader.Next());
  EXPECT_EQ(reader.room(), 1U);
  reader.Feed(frame);
  EXPECT_EQ(reader.room(), 0U);
  EXPECT_TRUE(reader.Next());
  // Of a flood of garbage nothing stays.
  for (int i = 0; i < 1000; ++i) {
    reader.Feed(Bytes(reader.room(), 'A'));
    EXPECT_FALSE(reader.Next());
    EXPECT_FALSE(reader.waiting());
  }
}

TEST(FrameReaderTest, AFrameBehindHalfOfOneIsFoundOnceThatIsGivenUp) {
  FrameReader reader;
  const Bytes half = EncodeFrame(Bytes(1000, 'h'));
  reader.Feed(Two(Bytes(half.begin(), half.begin() + 100),
                  EncodeFrame(ToBytes("whole"))));
  EXPECT_FALSE(reader.Next());
  EXPECT_TRUE(reader.waiting());
  reader.GiveUp();
  EXPECT_EQ(reader.Next(), ToBytes("whole"));
  EXPECT_FALSE(reader.waiting());
}

}  // namespace
}  // namespace vmattest::guestchannel
