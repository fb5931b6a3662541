#include "base/log.h"

#include <algorithm>
#include <functional>

#include "support/matchers.h"

namespace vmattest::log {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

// What `write` puts on stderr.
std::string Captured(const std::function<void()>& write) {
  ::testing::internal::CaptureStderr();
  write();
  return ::testing::internal::GetCapturedStderr();
}

TEST(LogQuote, EscapesWhatCouldForgeALine) {
  EXPECT_EQ(Quote("plain"), "\"plain\"");
  EXPECT_EQ(Quote(""), "\"\"");
  EXPECT_EQ(Quote("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(Quote("x\n2026 error forged"), "\"x\\x0a2026 error forged\"");
  EXPECT_EQ(Quote(std::string_view("\0\x1b\x7f", 3)), "\"\\x00\\x1b\\x7f\"");
}

TEST(LogQuote, CutsLongValues) {
  EXPECT_EQ(Quote(std::string(1024, 'x')).size(), 1026u);
  EXPECT_THAT(Quote(std::string(5000, 'x')), EndsWith("...\""));
  EXPECT_EQ(Quote(std::string(5000, 'x')).size(), 1029u);
}

TEST(Log, WritesOneLineWithQuotedFields) {
  ASSERT_THAT(Configure("info"), IsOk());
  const std::string line = Captured([] {
    Info("vm measured", {{"vm", "web\n1"}, {"leaves", "57"}});
  });
  EXPECT_THAT(line, HasSubstr("vm measured vm=\"web\\x0a1\" leaves=\"57\""));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST(Log, IsSilentBelowItsLevel) {
  ASSERT_THAT(Configure("warning"), IsOk());
  EXPECT_EQ(Captured([] { Info("quiet"); }), "");
  EXPECT_THAT(Captured([] { Error("loud"); }), HasSubstr("loud"));
}

// fmt's braces in a message are text, not a format.
TEST(Log, TakesBracesAsTheyAre) {
  ASSERT_THAT(Configure("info"), IsOk());
  EXPECT_THAT(Captured([] {
                Info("{}", {{"k", "{0}{1}"}});
              }),
              HasSubstr("{} k=\"{0}{1}\""));
}

TEST(Log, RefusesAnUnknownLevel) {
  EXPECT_THAT(Configure("loud"), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("'loud'")));
}

}  // namespace
}  // namespace vmattest::log
