#include "base/uuid.h"

#include <map>

#include "support/matchers.h"

namespace vmattest {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::StatusIs;

constexpr char kText[] = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

TEST(Uuid, GoesThereAndBack) {
  ASSERT_OK_AND_ASSIGN(const Uuid uuid, ParseUuid(kText));
  EXPECT_EQ(uuid.bytes[0], 0xc7);
  EXPECT_EQ(uuid.bytes[15], 0x09);
  EXPECT_EQ(ToString(uuid), kText);
}

TEST(Uuid, IsTheSameInEveryAcceptedSpelling) {
  ASSERT_OK_AND_ASSIGN(const Uuid uuid, ParseUuid(kText));
  EXPECT_EQ(ParseUuid("C7A5FDBD-EDAF-9455-926A-D65C16DB1809").value(), uuid);
  EXPECT_EQ(ParseUuid("c7a5fdbdedaf9455926ad65c16db1809").value(), uuid);
}

TEST(Uuid, RejectsEverythingElseNamingIt) {
  for (const char* bad : {"", "web-1", "c7a5fdbd-edaf-9455-926a-d65c16db180",
                          "c7a5fdbd-edaf-9455-926a-d65c16db18090",
                          "c7a5fdbdedaf-9455-926a-d65c16db1809",
                          "c7a5fdbd-edaf-9455-926a-d65c16db180g",
                          "c7a5fdb-dedaf-9455-926a-d65c16db1809",
                          "{c7a5fdbd-edaf-9455-926a-d65c16db1809}",
                          "--------------------------------c7a5"}) {
    EXPECT_THAT(ParseUuid(bad),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(std::string(bad).substr(0, 64))))
        << bad;
  }
}

TEST(Uuid, OrdersAsAKey) {
  std::map<Uuid, int> map;
  map[ParseUuid("00000000000000000000000000000002").value()] = 2;
  map[ParseUuid("00000000000000000000000000000001").value()] = 1;
  EXPECT_EQ(map.begin()->second, 1);
}

}  // namespace
}  // namespace vmattest
