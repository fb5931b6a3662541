#include "base/base64.h"

#include <gtest/gtest.h>

#include "support/matchers.h"

namespace vmattest {
namespace {

using testing::StatusIs;

// RFC 4648, section 10.
TEST(Base64, GivesTheVectorsOfTheRfc) {
  const std::pair<const char*, const char*> vectors[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(ToBase64(AsBytes(plain)), encoded);
    ASSERT_OK_AND_ASSIGN(const Bytes parsed, ParseBase64(encoded));
    EXPECT_EQ(AsText(parsed), plain);
  }
}

TEST(Base64, KeepsEveryByteValue) {
  Bytes all;
  for (int i = 0; i < 256; ++i) {
    all.push_back(static_cast<uint8_t>(i));
  }
  ASSERT_OK_AND_ASSIGN(const Bytes parsed, ParseBase64(ToBase64(all)));
  EXPECT_EQ(parsed, all);
}

TEST(Base64, RefusesWhatItWouldNotHaveWritten) {
  for (const char* text : {"Zg", "Zg=", "Zh==", "Zm9=", "Zm9v\n", "Zm-v",
                           "====", "Z===", "=m9v", "Zg==Zg=="}) {
    EXPECT_THAT(ParseBase64(text), StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

TEST(Base64Url, KeepsEveryLengthWithoutPadding) {
  Bytes bytes;
  for (int i = 0; i < 256; ++i) {
    const std::string text = ToBase64Url(bytes);
    EXPECT_EQ(text.find_first_of("+/="), std::string::npos);
    ASSERT_OK_AND_ASSIGN(const Bytes parsed, ParseBase64Url(text));
    EXPECT_EQ(parsed, bytes);
    bytes.push_back(static_cast<uint8_t>(251 + i * 37));
  }
}

// RFC 7515, appendix C.
TEST(Base64Url, GivesTheExampleOfTheRfc) {
  EXPECT_EQ(ToBase64Url(Bytes{3, 236, 255, 224, 193}), "A-z_4ME");
}

TEST(Base64Url, RefusesWhatItWouldNotHaveWritten) {
  for (const char* text :
       {"Zg==", "Zh", "Zm9", "Z", "Zm9vZ", "Zm+v", "Zm/v", "Zm9v\n", " Zm9v"}) {
    EXPECT_THAT(ParseBase64Url(text),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

}  // namespace
}  // namespace vmattest
