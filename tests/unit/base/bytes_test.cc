#include "base/bytes.h"

#include "base/secret_bytes.h"
#include "support/matchers.h"

namespace vmattest {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using vmattest::testing::StatusIs;

TEST(Hex, GoesThereAndBack) {
  const Bytes bytes{0x00, 0x0f, 0xa5, 0xff};
  EXPECT_EQ(ToHex(bytes), "000fa5ff");
  EXPECT_EQ(ParseHex("000FA5fF").value(), bytes);
  EXPECT_EQ(ToHex({}), "");
  EXPECT_TRUE(ParseHex("").value().empty());
}

TEST(Hex, RejectsWhatIsNoHexNamingThePlace) {
  EXPECT_THAT(ParseHex("abc"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("odd")));
  for (const char* bad : {"0g", "g0", " 1", "0x", "\xc3\xa4"}) {
    EXPECT_THAT(ParseHex(bad), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("position")))
        << bad;
  }
}

TEST(ConstantTimeEqual, ComparesLikeEquality) {
  EXPECT_TRUE(ConstantTimeEqual({}, {}));
  EXPECT_TRUE(ConstantTimeEqual(Bytes{1, 2}, Bytes{1, 2}));
  EXPECT_FALSE(ConstantTimeEqual(Bytes{1, 2}, Bytes{1, 3}));
  EXPECT_FALSE(ConstantTimeEqual(Bytes{1, 2}, Bytes{1}));
  EXPECT_FALSE(ConstantTimeEqual(Bytes{0x80}, Bytes{0}));
}

TEST(ByteWriter, WritesBigEndian) {
  ByteWriter writer;
  writer.U8(1).U16(0x0203).U32(0x04050607).U64(0x08090a0b0c0d0e0f);
  EXPECT_THAT(writer.bytes(),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

TEST(ByteWriter, KeepsSizedPartsApart) {
  EXPECT_NE(ByteWriter().Sized("ab").Sized("c").bytes(),
            ByteWriter().Sized("a").Sized("bc").bytes());
  EXPECT_THAT(ByteWriter().Sized("ab").Raw("c").bytes(),
              ElementsAre(0, 0, 0, 2, 'a', 'b', 'c'));
}

TEST(ByteReader, ReadsWhatTheWriterWrote) {
  const Bytes bytes = ByteWriter()
                          .U8(7)
                          .U16(65535)
                          .U32(1u << 31)
                          .U64(1ull << 63)
                          .Raw("x")
                          .bytes();
  ByteReader reader(bytes);
  EXPECT_EQ(reader.U8(), 7);
  EXPECT_EQ(reader.U16(), 65535);
  EXPECT_EQ(reader.U32(), 1u << 31);
  EXPECT_EQ(reader.U64(), 1ull << 63);
  EXPECT_EQ(reader.remaining(), 1u);
  EXPECT_FALSE(reader.AtEnd());
  EXPECT_EQ(AsText(reader.Raw(1)), "x");
  EXPECT_TRUE(reader.AtEnd());
}

TEST(ByteReader, StaysFailedAfterTheEnd) {
  const Bytes bytes{1, 2, 3};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.U32(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.U8(), 0);
  EXPECT_TRUE(reader.Raw(0).empty());
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.AtEnd());
}

TEST(ByteReader, RefusesAnAbsurdSize) {
  const Bytes bytes{1, 2, 3};
  ByteReader reader(bytes);
  EXPECT_TRUE(reader.Raw(SIZE_MAX).empty());
  EXPECT_FALSE(reader.ok());
}

TEST(SecretBytes, MoveAndForget) {
  SecretBytes secret(Bytes{1, 2, 3});
  SecretBytes moved(std::move(secret));
  EXPECT_EQ(ToBytes(moved.Reveal(SecretAccess())), (Bytes{1, 2, 3}));
  EXPECT_TRUE(secret.empty());  // NOLINT(bugprone-use-after-move)
  SecretBytes other(Bytes{9});
  other = std::move(moved);
  EXPECT_EQ(other.size(), 3u);
  EXPECT_TRUE(moved.empty());  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace vmattest
