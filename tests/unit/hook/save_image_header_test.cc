#include "gate/protocol/save_image_header.h"

#include <gtest/gtest.h>

#include "support/save_image.h"

namespace vmattest::gate {
namespace {

using testing::SaveImage;

constexpr char kUuid[] = "a045410c-221a-45fb-b0ef-341be7ce6025";

std::optional<SaveImageHeader> Parse(const std::string& image) {
  return ParseSaveImageHeader(AsBytes(image));
}

TEST(SaveImageHeaderTest, SaysWhoseItIsAndWhetherAllOfItIsThere) {
  const auto whole = Parse(SaveImage(kUuid, "memory"));
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->vm_uuid, kUuid);
  EXPECT_TRUE(whole->complete);
  const auto part = Parse(SaveImage(kUuid, "memory", false));
  ASSERT_TRUE(part.has_value());
  EXPECT_FALSE(part->complete);
}

TEST(SaveImageHeaderTest, OtherFilesAndOtherVersionsAreNone) {
  EXPECT_FALSE(Parse("").has_value());
  EXPECT_FALSE(Parse(std::string(4096, '\0')).has_value());
  EXPECT_FALSE(Parse(SaveImage("no uuid", "memory")).has_value());
  const std::string image = SaveImage(kUuid, "memory");
  for (size_t size = 0; size < 140; ++size) {
    EXPECT_FALSE(Parse(image.substr(0, size)).has_value()) << size;
  }
  std::string newer = image;
  newer[16] = 3;
  EXPECT_FALSE(Parse(newer).has_value());
}

TEST(SaveImageHeaderTest, AUuidBehindTheXmlIsNotItsOwn) {
  const std::string image =
      SaveImage("", "<uuid>" + std::string(kUuid) + "</uuid>");
  EXPECT_FALSE(Parse(image).has_value());
}

}  // namespace
}  // namespace vmattest::gate
