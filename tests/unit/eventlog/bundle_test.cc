#include "eventlog/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "support/host_log_builder.h"
#include "support/matchers.h"

namespace vmattest::eventlog {
namespace {

using testing::StatusIs;

Bundle Sample() {
  return {.evidence = {1, 2, 3},
          .boot_log = {},
          .records = testing::HostLogBuilder::TwoBoots().records};
}

TEST(Bundle, HoldsOneRecordALine) {
  const std::string text = EncodeBundle(Sample());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4 + 9 + 1);
  EXPECT_TRUE(nlohmann::json::accept(text));
}

TEST(Bundle, GivesItsPartsBack) {
  ASSERT_OK_AND_ASSIGN(const Bundle parsed,
                       ParseBundle(EncodeBundle(Sample())));
  EXPECT_EQ(parsed.evidence, Sample().evidence);
  EXPECT_TRUE(parsed.boot_log.empty());
  EXPECT_EQ(parsed.records, Sample().records);
}

TEST(Bundle, LosesOneRecordWithOneLine) {
  std::string text = EncodeBundle(Sample());
  const size_t line = text.find("{\"recnum\":4");
  text.erase(line, text.find('\n', line) + 1 - line);
  ASSERT_OK_AND_ASSIGN(const Bundle parsed, ParseBundle(text));
  EXPECT_EQ(parsed.records.size(), Sample().records.size() - 1);
}

TEST(Bundle, RefusesAnotherShape) {
  const std::string good = EncodeBundle(Sample());
  for (const auto& [from, to] :
       std::initializer_list<std::pair<std::string, std::string>>{
           {"eventlog/v1", "eventlog/v2"},
           {"\"evidence\"", "\"more\":\"\",\"evidence\""},
           {"AQID", "AQI"},
           {"\"boot_log\":\"\",", ""},
           {"\"records\"", "\"record\""},
           {"\n]}", "\n]"},
           {"\n]}", "\n]}x"},
           {"\n]}", "\n],\"more\":1}"}}) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    EXPECT_THAT(ParseBundle(bad), StatusIs(absl::StatusCode::kInvalidArgument))
        << to;
  }
}

}  // namespace
}  // namespace vmattest::eventlog
