#include "eventlog/cel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/tpm_digest.h"
#include "support/host_log_builder.h"
#include "support/matchers.h"

namespace vmattest::eventlog {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

CelRecord Sample() {
  CelRecord record;
  record.number = 0x0102;
  record.pcr = 13;
  record.digests[kTpmAlgIdSha1] = Bytes(20, 0xAA);
  record.digests[kTpmAlgIdSha256] = Bytes(32, 0xBB);
  record.content_type = kCelContentHostEvent;
  record.content = {'{', '}'};
  return record;
}

Bytes Log(const std::vector<CelRecord>& records) {
  Bytes log;
  for (const CelRecord& record : records) {
    const Bytes bytes = EncodeCel(record);
    log.insert(log.end(), bytes.begin(), bytes.end());
  }
  return log;
}

// TCG CEL 1.0, section 5.1: T one byte, L four, big-endian.
TEST(Cel, WritesTheFieldsOfTheSpecification) {
  EXPECT_EQ(ToHex(EncodeCel(Sample())),
            "00"
            "00000008"
            "0000000000000102"
            "01"
            "00000001"
            "0d"
            "03"
            "0000003e"
            "04"
            "00000014" +
                std::string(40, 'a') +
                "0b"
                "00000020" +
                std::string(64, 'b') +
                "c9"
                "00000002"
                "7b7d");
}

TEST(Cel, ReadsWhatItWrote) {
  const auto log = testing::HostLogBuilder::TwoBoots();
  ASSERT_OK_AND_ASSIGN(const std::vector<CelRecord> parsed,
                       ParseCel(Log(log.records)));
  EXPECT_EQ(parsed, log.records);
}

TEST(Cel, ReadsAnEmptyLog) {
  ASSERT_OK_AND_ASSIGN(const std::vector<CelRecord> parsed, ParseCel({}));
  EXPECT_TRUE(parsed.empty());
}

TEST(Cel, TellsATornRecordFromAWrongOne) {
  const Bytes whole = EncodeCel(Sample());
  for (size_t size = 1; size < whole.size(); ++size) {
    Bytes log = whole;
    log.insert(log.end(), whole.begin(), whole.begin() + size);
    CelReader reader(log);
    ASSERT_OK_AND_ASSIGN(const auto first, reader.Next());
    EXPECT_TRUE(first.has_value());
    EXPECT_THAT(reader.Next(), StatusIs(absl::StatusCode::kOutOfRange,
                                        HasSubstr("record 1 at offset ")))
        << size;
    EXPECT_EQ(reader.offset(), whole.size());
    EXPECT_THAT(ParseCel(log), StatusIs(kInvalid));
  }
}

TEST(Cel, RefusesEveryWrongField) {
  const Bytes good = EncodeCel(Sample());
  const auto expect_refused = [&good](size_t at, uint8_t value) {
    Bytes bad = good;
    bad.at(at) = value;
    EXPECT_THAT(ParseCel(bad), StatusIs(kInvalid)) << at;
  };
  expect_refused(0, 1);      // RECNUM's type
  expect_refused(4, 7);      // and size
  expect_refused(13, 2);     // an NV index instead of a PCR
  expect_refused(17, 2);     // PCR of two bytes
  expect_refused(19, 4);     // DIGESTS' type
  expect_refused(24, 0x05);  // an unknown algorithm
  expect_refused(28, 21);    // SHA-1 of 21 bytes
  expect_refused(49, 0x04);  // SHA-1 twice
  expect_refused(86, 3);     // content's type
  expect_refused(87, 0xFF);  // content of 4 GiB
}

TEST(Cel, RefusesARecordWithoutDigests) {
  CelRecord record = Sample();
  record.digests.clear();
  EXPECT_THAT(ParseCel(EncodeCel(record)),
              StatusIs(kInvalid, HasSubstr("no digest")));
}

}  // namespace
}  // namespace vmattest::eventlog
