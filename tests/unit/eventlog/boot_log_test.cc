#include "eventlog/boot_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crypto/tpm_digest.h"
#include "support/boot_log_writer.h"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest::eventlog {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::StatusIs;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

using LogWriter = testing::BootLogWriter;

Bytes Sha256(ByteView data) { return TpmHash(kTpmAlgIdSha256, {data}); }

json Replayed(const BootLog& log) {
  json banks = json::object();
  for (const uint16_t bank : log.banks) {
    const auto registers = ReplayBootLog(log, bank);
    EXPECT_THAT(registers, testing::IsOk());
    json values = json::object();
    for (const auto& [index, value] : *registers) {
      values[std::to_string(index)] = ToHex(value);
    }
    banks[std::string(TpmDigestName(bank))] = values;
  }
  return banks;
}

void ExpectAsExpected(const std::filesystem::path& folder, const json& expected,
                      const char* registers) {
  const std::string name = expected["file"];
  SCOPED_TRACE(name);
  const std::string bytes = testing::Slurp(folder / name);
  const absl::StatusOr<BootLog> log = ParseBootLog(AsBytes(bytes));
  if (!expected.value("parses", true)) {
    EXPECT_THAT(log, StatusIs(kInvalid));
    return;
  }
  ASSERT_THAT(log, testing::IsOk());
  EXPECT_EQ(log->crypto_agile, expected["format"] == "crypto-agile");
  EXPECT_EQ(log->events.size(), expected["events"]);
  EXPECT_EQ(log->trailing_padding, expected["trailing_padding"]);
  EXPECT_EQ(log->startup_locality, expected.value("startup_locality", 0));
  EXPECT_EQ(Replayed(*log), expected[registers]);
}

TEST(BootLog, ReplaysRealLogsToTheValuesOfTheirTpm) {
  VMATTEST_REQUIRE_VECTORS(folder, "tpm-eventlog");
  const json logs = json::parse(testing::Slurp(folder / "expected.json"));
  ASSERT_GE(logs.size(), 26u);
  for (const json& expected : logs) {
    ExpectAsExpected(folder, expected, "replayed_pcrs");
  }
}

TEST(BootLog, ReplaysLogsOfConfidentialVms) {
  VMATTEST_REQUIRE_VECTORS(folder, "ccel");
  const json logs = json::parse(testing::Slurp(folder / "expected.json"));
  ASSERT_GE(logs.size(), 6u);
  for (const json& expected : logs) {
    ExpectAsExpected(folder, expected, "replayed_registers");
  }
}

TEST(BootLog, FindsTheSeparatorsOfARealFirmware) {
  VMATTEST_REQUIRE_VECTORS(folder, "tpm-eventlog");
  const std::string bytes = testing::Slurp(folder / "logs/cos-93-amd-sev.bin");
  ASSERT_OK_AND_ASSIGN(const BootLog log, ParseBootLog(AsBytes(bytes)));
  for (uint32_t pcr = 0; pcr < 8; ++pcr) {
    EXPECT_TRUE(HasSeparator(log, kTpmAlgIdSha256, pcr)) << pcr;
  }
  EXPECT_FALSE(HasSeparator(log, kTpmAlgIdSha256, 9));
}

TEST(BootLog, S9_ASeparatorIsKnownByItsDigestAlone) {
  constexpr uint32_t kSeparator = 4;
  LogWriter writer;
  writer.Header();
  writer.Event(0, kSeparator, Sha256(Bytes(4, 0xAB)), std::string(4, '\0'));
  writer.Event(1, 0xD, Sha256(Bytes(4, 0)), "not what it is");
  writer.Event(2, kSeparator, Sha256(Bytes(4, 0xFF)));
  writer.Event(3, kSeparator, Sha256(Bytes{1, 0, 0, 0}));
  writer.Event(4, kEventNoAction, Sha256(Bytes(4, 0)));
  ASSERT_OK_AND_ASSIGN(const BootLog log, ParseBootLog(writer.log()));
  EXPECT_FALSE(HasSeparator(log, kTpmAlgIdSha256, 0));
  EXPECT_TRUE(HasSeparator(log, kTpmAlgIdSha256, 1));
  EXPECT_TRUE(HasSeparator(log, kTpmAlgIdSha256, 2));
  EXPECT_TRUE(HasSeparator(log, kTpmAlgIdSha256, 3));
  EXPECT_FALSE(HasSeparator(log, kTpmAlgIdSha256, 4));  // never extended
  EXPECT_FALSE(HasSeparator(log, kTpmAlgIdSha1, 1));
}

TEST(BootLog, StartsPcr0AtTheLocalityOfStartup) {
  for (const uint8_t locality : {uint8_t{0}, uint8_t{3}, uint8_t{4}}) {
    LogWriter writer;
    std::string data("StartupLocality\0", 16);
    data += static_cast<char>(locality);
    writer.Header().Event(0, kEventNoAction, Bytes(32, 0), data);
    writer.Event(0, 8, Bytes(32, 7));
    ASSERT_OK_AND_ASSIGN(const BootLog log, ParseBootLog(writer.log()));
    Bytes start(32, 0);
    start.back() = locality;
    ASSERT_OK_AND_ASSIGN(const auto registers,
                         ReplayBootLog(log, kTpmAlgIdSha256));
    EXPECT_EQ(registers.at(0), TpmHash(kTpmAlgIdSha256, {start, Bytes(32, 7)}));
  }
}

TEST(BootLog, StartsPcr0AtLocality4AfterAnHcrtm) {
  LogWriter writer;
  writer.Header().Event(0, 0x80000010, Bytes(32, 7), "HCRTM");
  ASSERT_OK_AND_ASSIGN(const BootLog log, ParseBootLog(writer.log()));
  EXPECT_EQ(log.startup_locality, 4);
}

TEST(BootLog, ToleratesPaddingAndNothingElse) {
  LogWriter writer;
  writer.Header().Event(0, 8, Bytes(32, 7), "x");
  for (const uint8_t byte : {uint8_t{0xFF}, uint8_t{0x00}}) {
    Bytes padded = writer.log();
    padded.resize(padded.size() + 1000, byte);
    ASSERT_OK_AND_ASSIGN(const BootLog log, ParseBootLog(padded));
    EXPECT_EQ(log.trailing_padding, 1000u);
    padded.back() ^= 1;
    EXPECT_THAT(ParseBootLog(padded), StatusIs(kInvalid, HasSubstr("event ")));
  }
}

TEST(BootLog, NamesTheEventAndItsOffset) {
  LogWriter writer;
  writer.Header().Event(0, 8, Bytes(32, 7), "x");
  const size_t second = writer.log().size();
  writer.Event(1, 8, Bytes(32, 7), "y");
  Bytes cut = writer.log();
  cut.pop_back();
  EXPECT_THAT(ParseBootLog(cut),
              StatusIs(kInvalid, HasSubstr("event 1 at offset " +
                                           std::to_string(second))));
}

TEST(BootLog, RefusesEveryTruncation) {
  LogWriter writer;
  writer.Header().Event(1, 8, Bytes(32, 7), "data");
  const size_t header = LogWriter().Header().log().size();
  for (size_t size = 0; size < writer.log().size(); ++size) {
    if (size != header) {
      EXPECT_THAT(ParseBootLog(ByteView(writer.log()).first(size)),
                  StatusIs(kInvalid))
          << size;
    }
  }
}

TEST(BootLog, RefusesDigestsThatTheHeaderDoesNotList) {
  LogWriter unlisted;
  unlisted.Header()
      .U32(0)
      .U32(8)
      .U32(1)
      .U16(kTpmAlgIdSha1)
      .Raw(Bytes(20, 1))
      .U32(0);
  EXPECT_THAT(ParseBootLog(unlisted.log()),
              StatusIs(kInvalid, HasSubstr("does not list")));
  LogWriter many;
  many.Header().U32(0).U32(8).U32(0xFFFFFFFF);
  EXPECT_THAT(ParseBootLog(many.log()),
              StatusIs(kInvalid, HasSubstr("4294967295 digests")));
  LogWriter beyond;
  beyond.Header().Event(32, 8, Bytes(32, 1));
  EXPECT_THAT(ParseBootLog(beyond.log()),
              StatusIs(kInvalid, HasSubstr("register 32")));
}

TEST(BootLog, RefusesToReplayABankThatIsNotThere) {
  ASSERT_OK_AND_ASSIGN(const BootLog log,
                       ParseBootLog(LogWriter().Header().log()));
  EXPECT_THAT(ReplayBootLog(log, kTpmAlgIdSha384), StatusIs(kInvalid));
}

TEST(BootLog, NamesEventTypes) {
  EXPECT_EQ(BootEventTypeName(4), "EV_SEPARATOR");
  EXPECT_EQ(BootEventTypeName(0xABCD), "0x0000abcd");
}

}  // namespace
}  // namespace vmattest::eventlog
