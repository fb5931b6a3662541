#include "base/strict_json.h"

#include <gtest/gtest.h>

#include "support/matchers.h"

namespace vmattest {
namespace {

using testing::StatusIs;

TEST(StrictJson, RefusesWhatIsNotOneValue) {
  for (const char* text : {"", " ", "{", "{}{}", "{} x", "[1,]", "{\"a\":1,}",
                           "'a'", "nul", "NaN", "01", "\"\x80\"", "1e999"}) {
    EXPECT_THAT(ParseStrictJson(text),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

TEST(StrictJson, RefusesANameThatIsThereTwiceAtAnyDepth) {
  for (const char* text :
       {R"({"a":1,"a":1})", R"({"b":[{"a":1,"\u0061":2}]})"}) {
    EXPECT_THAT(ParseStrictJson(text),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
  EXPECT_TRUE(ParseStrictJson(R"({"a":{"a":1},"b":{"a":1}})").ok());
}

TEST(StrictJson, RefusesWhatIsNestedDeeperThanAskedFor) {
  EXPECT_TRUE(ParseStrictJson("[[[]]]", 3).ok());
  EXPECT_THAT(ParseStrictJson("[[[[]]]]", 3),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseStrictJson(std::string(1 << 20, '[')),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(StrictJson, WritesOneTextForOneValue) {
  ASSERT_OK_AND_ASSIGN(const nlohmann::json value,
                       ParseStrictJson(R"( {"b" : 1, "a" : "ü"} )"));
  EXPECT_EQ(CanonicalJson(value), R"({"a":"\u00fc","b":1})");
}

}  // namespace
}  // namespace vmattest
