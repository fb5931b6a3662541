#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crypto/tpm_digest.h"
#include "eventlog/cel.h"
#include "support/host_log_builder.h"
#include "support/matchers.h"

namespace vmattest::eventlog {
namespace {

using ::testing::HasSubstr;
using testing::HostLogBuilder;
using testing::StatusIs;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string Sample() {
  return ToCelJson(HostLogBuilder::TwoBoots().records.back());
}

TEST(CelJson, ShowsAHostEventAsAnObject) {
  const auto json = nlohmann::json::parse(Sample());
  EXPECT_EQ(json["recnum"], 9);
  EXPECT_EQ(json["pcr"], 13);
  EXPECT_EQ(json["content_type"], "vmattest_host_event");
  EXPECT_EQ(json["content"]["kind"], "vm-started");
  EXPECT_EQ(json["content"]["facts"]["vm_name"], "web-3");
  EXPECT_EQ(json["digests"][0]["hashAlg"], "sha256");
  EXPECT_EQ(Sample().find('\n'), std::string::npos);
}

TEST(CelJson, GivesTheRecordBack) {
  const auto log = HostLogBuilder::TwoBoots(HashAlgorithm::kSha384);
  ASSERT_OK_AND_ASSIGN(const auto parsed,
                       ParseCelJsonLog(ToCelJsonLog(log.records)));
  EXPECT_EQ(parsed, log.records);
  ASSERT_OK_AND_ASSIGN(const auto none, ParseCelJsonLog(ToCelJsonLog({})));
  EXPECT_TRUE(none.empty());
}

TEST(CelJson, TakesAnyLayoutOfAnArray) {
  const auto log = HostLogBuilder::TwoBoots();
  const std::string pretty =
      nlohmann::json::parse(ToCelJsonLog(log.records)).dump(3);
  ASSERT_OK_AND_ASSIGN(const auto parsed, ParseCelJsonLog(pretty));
  EXPECT_EQ(parsed, log.records);
}

TEST(CelJson, KeepsContentThatItDoesNotUnderstandAsHex) {
  CelRecord record = HostLogBuilder::TwoBoots().records.back();
  for (const uint8_t type : {kCelContentPcClient, uint8_t{80}}) {
    record.content_type = type;
    EXPECT_THAT(ToCelJson(record), HasSubstr("\"7b226661637473"));
    ASSERT_OK_AND_ASSIGN(const CelRecord parsed,
                         ParseCelJson(ToCelJson(record)));
    EXPECT_EQ(parsed, record);
  }
  record.content_type = kCelContentHostEvent;
  record.content = ToBytes("not an event");
  ASSERT_OK_AND_ASSIGN(const CelRecord parsed, ParseCelJson(ToCelJson(record)));
  EXPECT_EQ(parsed, record);
}

TEST(CelJson, RefusesEveryWrongField) {
  using nlohmann::json;
  const json good = json::parse(Sample());
  std::vector<json> bad(14, good);
  bad[0]["recnum"] = -1;
  bad[1]["recnum"] = "9";
  bad[2]["pcr"] = 32;
  bad[3]["digests"] = json::array();
  bad[4]["digests"][0]["hashAlg"] = "sm3";
  bad[5]["digests"][0]["digest"] = "00";
  bad[6]["digests"][0]["more"] = 1;
  bad[7]["digests"].push_back(good["digests"][0]);
  bad[8]["content_type"] = "systemd";
  bad[9]["content"] = 7;
  bad[10].erase("pcr");
  bad[11]["extra"] = 1;
  bad[12]["digests"][0]["digest"] = std::string(64, 'g');
  bad[13]["content_type"] = "3";
  for (const json& one : bad) {
    EXPECT_THAT(ParseCelJson(one.dump()), StatusIs(kInvalid)) << one;
  }
}

TEST(CelJson, RefusesANameThatIsThereTwice) {
  std::string twice = Sample();
  twice.insert(1, "\"pcr\":13,");
  EXPECT_THAT(ParseCelJson(twice), StatusIs(kInvalid, HasSubstr("twice")));
  std::string inside = Sample();
  inside.insert(inside.find("\"vm_name\""), "\"vm_name\":\"x\",");
  EXPECT_THAT(ParseCelJson(inside), StatusIs(kInvalid, HasSubstr("twice")));
}

TEST(CelJson, RefusesDepthAndSize) {
  const std::string deep = std::string(1000, '[') + std::string(1000, ']');
  EXPECT_THAT(ParseCelJson(deep), StatusIs(kInvalid, HasSubstr("deeper")));
  EXPECT_THAT(ParseCelJson(std::string(kMaxCelRecord + 1, ' ')),
              StatusIs(kInvalid));
}

TEST(CelJson, NamesTheRecordOfABrokenArray) {
  const auto log = HostLogBuilder::TwoBoots();
  std::string text = ToCelJsonLog(log.records);
  text.replace(text.find("web-2"), 5, "web\"2");
  EXPECT_THAT(ParseCelJsonLog(text), StatusIs(kInvalid, HasSubstr("record 7")));
  for (const char* bad :
       {"", "{}", "[", "[{}]", "[,]", "[]x", "[{}", "[\"x\"]", "[{]"}) {
    EXPECT_THAT(ParseCelJsonLog(bad), StatusIs(kInvalid)) << bad;
  }
}

}  // namespace
}  // namespace vmattest::eventlog
