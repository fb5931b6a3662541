#include "crypto/page_hash.h"

#include "crypto/digest.h"
#include "gtest/gtest.h"

namespace vmattest {
namespace {

constexpr size_t kPage = 4096;

Bytes Pattern(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<uint8_t>(i * 7 + i / 251 + i / kPage);
  }
  return bytes;
}

TEST(HashPieces, AreTheOfficialDigestsOfEachPiece) {
  const Bytes data = Pattern(37 * kPage);
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    const size_t size = DigestSize(algorithm);
    for (const size_t pieces : {1U, 2U, 15U, 16U, 17U, 33U, 37U}) {
      Bytes out(pieces * size);
      HashPieces(algorithm, data, kPage, out);
      for (size_t i = 0; i < pieces; ++i) {
        EXPECT_EQ(ToBytes(ByteView(out).subspan(i * size, size)),
                  Hash(algorithm, ByteView(data).subspan(i * kPage, kPage)))
            << ToString(algorithm) << " " << pieces << " " << i;
      }
    }
  }
}

TEST(HashPieces, TakeOtherSizes) {
  const Bytes data = Pattern(16 * kPage);
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    const size_t size = DigestSize(algorithm);
    Bytes out(size);
    HashPieces(algorithm, data, 16 * kPage, out);
    EXPECT_EQ(out, Hash(algorithm, data));
    HashPieces(algorithm, data, 100, out);
    EXPECT_EQ(out, Hash(algorithm, ByteView(data).first(100)));
  }
}

TEST(PieceTagger, TellsTheSmallestChange) {
  PieceTagger tagger{SecretBytes(RandomBytes(PieceTagger::kKeySize))};
  Bytes data = Pattern(kPage);
  std::array<uint8_t, PieceTagger::kTagSize> before{};
  std::array<uint8_t, PieceTagger::kTagSize> after{};
  tagger.Tag(data, before);
  for (size_t byte = 0; byte < kPage; byte += 61) {
    data[byte] ^= 1;
    tagger.Tag(data, after);
    EXPECT_NE(before, after) << byte;
    data[byte] ^= 1;
  }
  tagger.Tag(data, after);
  EXPECT_EQ(before, after);
}

// RFC 8439 section 2.5.2.
TEST(PieceTagger, IsPoly1305) {
  const auto key = ParseHex(
      "85d6be7857556d337f4452fe42d506a8"
      "0103808afb0db2fd4abff6af4149f51b");
  ASSERT_TRUE(key.ok());
  PieceTagger tagger{SecretBytes(Bytes(*key))};
  std::array<uint8_t, PieceTagger::kTagSize> tag{};
  tagger.Tag(AsBytes("Cryptographic Forum Research Group"), tag);
  EXPECT_EQ(ToHex(tag), "a8061dc1305136c6c22b8baf0c0127a9");
}

TEST(PieceTagger, TagsDifferByKey) {
  const Bytes data = Pattern(kPage);
  std::array<uint8_t, PieceTagger::kTagSize> first{};
  std::array<uint8_t, PieceTagger::kTagSize> second{};
  PieceTagger(SecretBytes(RandomBytes(PieceTagger::kKeySize))).Tag(data, first);
  PieceTagger(SecretBytes(RandomBytes(PieceTagger::kKeySize)))
      .Tag(data, second);
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace vmattest
