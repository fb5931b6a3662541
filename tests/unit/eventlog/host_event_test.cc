#include "eventlog/host_event.h"

#include <gtest/gtest.h>

#include "support/matchers.h"

namespace vmattest::eventlog {
namespace {

using testing::StatusIs;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

constexpr std::string_view kCanonical =
    R"({"facts":{"a":"1","vm_name":"web \"1\""},"kind":"vm-started","time_unix_ms":1700000000000})";

TEST(HostEvent, IsSortedAsciiWithoutSpace) {
  EXPECT_EQ(EncodeHostEvent({.kind = "vm-started",
                             .facts = {{"vm_name", "web \"1\""}, {"a", "1"}},
                             .time_unix_ms = 1'700'000'000'000}),
            kCanonical);
}

TEST(HostEvent, ParsesToWhatWasEncoded) {
  const HostEvent event = {.kind = "boot",
                           .facts = {{"x", "\x01 \xC3\xA9 \x7F"}},
                           .time_unix_ms = -5};
  const std::string json = EncodeHostEvent(event);
  for (const char c : json) {
    EXPECT_LT(static_cast<unsigned char>(c), 0x80);
  }
  ASSERT_OK_AND_ASSIGN(const HostEvent parsed, ParseHostEvent(json));
  EXPECT_EQ(parsed, event);
}

TEST(HostEvent, EncodesTextThatIsNoUtf8) {
  const std::string json =
      EncodeHostEvent({.kind = "vm-started", .facts = {{"vm_name", "\xFF"}}});
  ASSERT_OK_AND_ASSIGN(const HostEvent parsed, ParseHostEvent(json));
  EXPECT_EQ(parsed.facts.at("vm_name"), "\xEF\xBF\xBD");
}

TEST(HostEvent, RefusesAllButTheCanonicalForm) {
  const std::string good(kCanonical);
  for (const auto& [from, to] :
       std::initializer_list<std::pair<std::string, std::string>>{
           {":{", ": {"},
           {"1700000000000", "1700000000000.0"},
           {"1700000000000", "1.7e12"},
           {"1700000000000", "9223372036854775808"},
           {"\"1\"", "1"},
           {"\"a\":\"1\"", "\"a\":\"1\",\"a\":\"1\""},
           {"\"kind\"", "\"facts\":{},\"kind\""},
           {"web", "\\u0077eb"},
           {"web", "\xC3\xA9"},
           {"\"kind\":", "\"kin\":"},
           {"vm-started", "VM"},
           {"vm-started", "vm--started"},
           {"vm-started", "-vm"},
           {"vm-started", "vm-"},
           {"vm-started", ""},
           {"000}", "000}x"}}) {
    std::string bad = good;
    const size_t at = bad.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    bad.replace(at, from.size(), to);
    EXPECT_THAT(ParseHostEvent(bad), StatusIs(kInvalid)) << bad;
  }
  EXPECT_THAT(ParseHostEvent(good), testing::IsOk());
}

TEST(HostEvent, RefusesWhatIsTooLargeOrNoObject) {
  const std::string large = EncodeHostEvent(
      {.kind = "vm-started", .facts = {{"x", std::string(17 << 10, 'y')}}});
  EXPECT_THAT(ParseHostEvent(large), StatusIs(kInvalid));
  for (const char* text : {"", "[]", "7", "\"x\"", "{", "{}", "null"}) {
    EXPECT_THAT(ParseHostEvent(text), StatusIs(kInvalid)) << text;
  }
  EXPECT_THAT(ParseHostEvent(std::string(16 << 10, '[')), StatusIs(kInvalid));
}

}  // namespace
}  // namespace vmattest::eventlog
