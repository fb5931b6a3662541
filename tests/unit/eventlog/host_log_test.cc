#include "eventlog/host_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "crypto/tpm_digest.h"
#include "support/host_log_builder.h"
#include "support/matchers.h"

namespace vmattest::eventlog {
namespace {

using testing::HostLogBuilder;
using Kind = HostLogProblem::Kind;

HostLogReplay Replay(const std::vector<CelRecord>& records,
                     HashAlgorithm bank = HashAlgorithm::kSha256) {
  return ReplayHostLog(records, HostLogBuilder::kPcr, bank);
}

void ExpectProblem(const std::vector<CelRecord>& records, Kind kind,
                   uint64_t record) {
  const HostLogReplay replay = Replay(records);
  EXPECT_EQ(static_cast<int>(replay.problem.kind), static_cast<int>(kind))
      << replay.problem.expected << " / " << replay.problem.found;
  EXPECT_EQ(replay.problem.record, record);
  EXPECT_FALSE(replay.problem.expected.empty());
}

// Replaces the record's event and makes its digest fit again.
void ReplaceEvent(CelRecord& record, const HostEvent& event) {
  record =
      MakeHostRecord(record.number, record.pcr, HashAlgorithm::kSha256, event);
}

TEST(LogHead, IsTheChainOfDigests) {
  LogHead head;
  EXPECT_EQ(head.head, Bytes(32, 0));
  const DigestBytes one(32, 1);
  head.Extend(one);
  EXPECT_EQ(head.size, 1u);
  EXPECT_EQ(head.head, HashParts(HashAlgorithm::kSha256, {Bytes(32, 0), one}));
}

TEST(HostLog, ReplaysToHeadAndPcrInEitherBank) {
  for (const HashAlgorithm bank :
       {HashAlgorithm::kSha256, HashAlgorithm::kSha384}) {
    const auto log = HostLogBuilder::TwoBoots(bank);
    const HostLogReplay replay = Replay(log.records, bank);
    ASSERT_EQ(replay.problem.kind, Kind::kNone) << replay.problem.found;
    EXPECT_EQ(replay.start, LogHead());
    EXPECT_EQ(replay.heads.size(), log.records.size());
    EXPECT_EQ(replay.heads.back(), log.head().head);
    EXPECT_EQ(replay.boots, (std::vector<size_t>{0, 4}));
    EXPECT_EQ(replay.boot.boot_count, 2u);
    EXPECT_EQ(replay.pcrs.size(), 5u);
    EXPECT_EQ(replay.pcrs.back(), log.pcr());
    EXPECT_TRUE(replay.facts.empty());
  }
}

TEST(HostLog, ARecordCarriesTheDigestThatItsBankIsExtendedWith) {
  const CelRecord record =
      MakeHostRecord(1, 13, HashAlgorithm::kSha384, {.kind = "daemon-started"});
  ASSERT_EQ(record.digests.size(), 2u);
  EXPECT_EQ(record.digests.at(kTpmAlgIdSha384),
            RecordDigest(HashAlgorithm::kSha384, record.content));
  EXPECT_EQ(record.digests.at(kTpmAlgIdSha256),
            Hash(HashAlgorithm::kSha256, record.content));
}

TEST(HostLog, SaysHowManyRecordsAPcrValueCovers) {
  auto log = HostLogBuilder::TwoBoots();
  const DigestBytes quoted = log.pcr();
  log.Launch("after the quote");
  const HostLogReplay replay = Replay(log.records);
  EXPECT_EQ(CoveredRecords(replay, quoted), 9u);
  EXPECT_EQ(CoveredRecords(replay, log.pcr()), 10u);
  EXPECT_EQ(CoveredRecords(replay, DigestBytes(32, 0)), std::nullopt);
}

TEST(HostLog, MayBeginAtALaterBoot) {
  auto log = HostLogBuilder::TwoBoots();
  const LogHead whole = log.head();
  log.records.erase(log.records.begin(), log.records.begin() + 4);
  const HostLogReplay replay = Replay(log.records);
  ASSERT_EQ(replay.problem.kind, Kind::kNone) << replay.problem.found;
  EXPECT_EQ(replay.start.size, 4u);
  EXPECT_EQ(replay.heads.back(), whole.head);
}

TEST(HostLog, AnUncleanBootIsAFact) {
  HostLogBuilder log;
  log.Boot(true);
  log.Launch("web-1");
  log.Boot(false);
  const HostLogReplay replay = Replay(log.records);
  ASSERT_EQ(replay.problem.kind, Kind::kNone) << replay.problem.found;
  EXPECT_EQ(replay.facts,
            (std::vector<HostLogFact>{
                {.kind = HostLogFact::Kind::kUncleanBoot, .record = 3}}));
}

TEST(HostLog, ABootThatClaimsACloseThatIsNotThereIsRefused) {
  HostLogBuilder log;
  log.Boot(true);
  log.Launch("web-1");
  log.Boot(true);
  ExpectProblem(log.records, Kind::kBoot, 3);
}

TEST(HostLog, LossBeforeABootIsAFactThatNamesTheRecords) {
  auto log = HostLogBuilder::TwoBoots();
  log.records.erase(log.records.begin() + 2, log.records.begin() + 4);
  const HostLogReplay replay = Replay(log.records);
  ASSERT_EQ(replay.problem.kind, Kind::kNone) << replay.problem.found;
  EXPECT_EQ(replay.facts,
            (std::vector<HostLogFact>{{.kind = HostLogFact::Kind::kLost,
                                       .record = 5,
                                       .first_lost = 3,
                                       .last_lost = 4}}));
  EXPECT_EQ(replay.heads.back(), log.head().head);
}

TEST(HostLog, ARemovedRecordIsNamed) {
  auto log = HostLogBuilder::TwoBoots();
  log.records.erase(log.records.begin() + 6);
  ExpectProblem(log.records, Kind::kMissing, 7);
}

TEST(HostLog, SwappedRecordsAreOutOfOrder) {
  auto log = HostLogBuilder::TwoBoots();
  std::swap(log.records[6], log.records[7]);
  ExpectProblem(log.records, Kind::kOrder, 7);
}

TEST(HostLog, ARecordThatIsThereTwiceIsOutOfOrder) {
  auto log = HostLogBuilder::TwoBoots();
  log.records.insert(log.records.begin() + 6, log.records[6]);
  ExpectProblem(log.records, Kind::kOrder, 8);
}

TEST(HostLog, ABootRecordMovedBackIsOutOfOrder) {
  auto log = HostLogBuilder::TwoBoots();
  std::swap(log.records[4], log.records[5]);
  ExpectProblem(log.records, Kind::kOrder, 5);
}

TEST(HostLog, AChangedRecordDoesNotFitItsDigest) {
  auto log = HostLogBuilder::TwoBoots();
  log.records[6].content[30] ^= 1;
  ExpectProblem(log.records, Kind::kDigest, 7);
  log = HostLogBuilder::TwoBoots();
  log.records[6].digests.erase(kTpmAlgIdSha256);
  ExpectProblem(log.records, Kind::kDigest, 7);
  log = HostLogBuilder::TwoBoots();
  log.records[6].digests[kTpmAlgIdSha384] = Bytes(48, 1);
  ExpectProblem(log.records, Kind::kDigest, 7);
}

TEST(HostLog, ARecordOfAnotherPcrOrContentIsRefused) {
  auto log = HostLogBuilder::TwoBoots();
  log.records[6].pcr = 14;
  ExpectProblem(log.records, Kind::kPcr, 7);
  log = HostLogBuilder::TwoBoots();
  log.records[6].content_type = kCelContentPcClient;
  ExpectProblem(log.records, Kind::kContent, 7);
  log = HostLogBuilder::TwoBoots();
  log.records[6].content = ToBytes("{}");
  log.records[6].digests[kTpmAlgIdSha256] =
      RecordDigest(HashAlgorithm::kSha256, log.records[6].content);
  ExpectProblem(log.records, Kind::kContent, 7);
}

TEST(HostLog, NoRecordsAndNoBootRecordFirstAreRefused) {
  ExpectProblem({}, Kind::kEmpty, 0);
  auto log = HostLogBuilder::TwoBoots();
  log.records.erase(log.records.begin());
  ExpectProblem(log.records, Kind::kBoot, 2);
}

TEST(HostLog, ABootRecordMustContinueWhatIsBeforeIt) {
  const auto good = HostLogBuilder::TwoBoots();
  const auto change = [&good](size_t position, const std::string& fact,
                              const std::string& value) {
    auto records = good.records;
    HostEvent event = ParseHostEvent(AsText(records[position].content)).value();
    event.facts[fact] = value;
    ReplaceEvent(records[position], event);
    return records;
  };
  ExpectProblem(change(4, "previous_head", std::string(64, '0')), Kind::kBoot,
                5);
  ExpectProblem(change(4, "previous_size", "5"), Kind::kBoot, 5);
  ExpectProblem(change(4, "boot_count", "1"), Kind::kBoot, 5);
  ExpectProblem(change(4, "boot_count", "02"), Kind::kBoot, 5);
  ExpectProblem(change(4, "reset_count", "4294967296"), Kind::kBoot, 5);
  ExpectProblem(change(4, "closed", "maybe"), Kind::kBoot, 5);
  ExpectProblem(change(4, "previous_head", std::string(64, 'G')), Kind::kBoot,
                5);
  ExpectProblem(change(0, "previous_head", std::string(64, '1')), Kind::kBoot,
                1);
  ExpectProblem(change(0, "previous_size", "3"), Kind::kBoot, 1);
}

HostEvent Loss(const LogHead& previous, const std::string& log_pcr = "") {
  HostEvent event = {.kind = "log-loss",
                     .facts = {{"reason", "the disk"},
                               {"previous_size", std::to_string(previous.size)},
                               {"previous_head", ToHex(previous.head)}}};
  if (!log_pcr.empty()) {
    event.facts["log_pcr"] = log_pcr;
  }
  return event;
}

TEST(HostLog, ALossThatTheLogTellsIsAFactAndTheLogGoesOn) {
  HostLogBuilder log;
  log.Boot(true);
  log.Launch("web-1");
  log.Launch("lost");
  log.Launch("lost too");
  log.Add(Loss(log.head()));
  log.Launch("web-2");
  log.records.erase(log.records.begin() + 2, log.records.begin() + 4);
  const HostLogReplay replay = Replay(log.records);
  ASSERT_EQ(replay.problem.kind, Kind::kNone) << replay.problem.found;
  EXPECT_EQ(replay.facts,
            (std::vector<HostLogFact>{{.kind = HostLogFact::Kind::kLost,
                                       .record = 5,
                                       .first_lost = 3,
                                       .last_lost = 4,
                                       .detail = "the disk"}}));
  EXPECT_EQ(replay.heads.back(), log.head().head);
  EXPECT_FALSE(CoveredRecords(replay, log.pcr()).has_value());
}

TEST(HostLog, ALossMaySayWhatThePcrWas) {
  HostLogBuilder log;
  log.Boot(true);
  const DigestBytes strange(32, 0x5A);
  log.Add(Loss(log.head(), ToHex(strange)));
  const HostLogReplay replay = Replay(log.records);
  ASSERT_EQ(replay.problem.kind, Kind::kNone) << replay.problem.found;
  ASSERT_EQ(replay.facts.size(), 1u);
  EXPECT_EQ(replay.facts[0].last_lost, 0u);
  EXPECT_EQ(replay.pcrs.back(),
            ExtendPcr(HashAlgorithm::kSha256, strange,
                      RecordDigest(HashAlgorithm::kSha256,
                                   log.records.back().content)));
}

TEST(HostLog, ALossThatContradictsTheRecordsIsRefused) {
  for (const auto& [size, head] :
       {std::pair<uint64_t, uint8_t>{1, 1}, {5, 0}}) {
    HostLogBuilder log;
    log.Boot(true);
    LogHead previous = log.head();
    previous.size = size;
    previous.head[0] ^= head;
    log.Add(Loss(previous));
    ExpectProblem(log.records, Kind::kBoot, 2);
  }
  HostLogBuilder log;
  log.Boot(true);
  log.Add(Loss(log.head(), "00"));
  ExpectProblem(log.records, Kind::kContent, 2);
}

TEST(HostLog, AJumpOfTheBootCounterIsALoss) {
  HostLogBuilder log;
  log.Boot(true);
  log.Event("daemon-stopped");
  log.Add(MakeBootEvent({.previous = log.head(), .boot_count = 3}, 0));
  const HostLogReplay replay = Replay(log.records);
  ASSERT_EQ(replay.problem.kind, Kind::kNone) << replay.problem.found;
  ASSERT_EQ(replay.facts.size(), 1u);
  EXPECT_EQ(replay.facts[0].kind, HostLogFact::Kind::kLost);
  EXPECT_EQ(replay.facts[0].detail, "boots 2 to 2 left no records");
}

TEST(HostLog, AnotherTpmCountsBootsAnewOnlyIfTheLogSaysSo) {
  HostLogBuilder log;
  log.Boot(true);
  log.Event("daemon-stopped");
  log.Add(MakeBootEvent({.previous = log.head(), .boot_count = 1}, 0));
  ExpectProblem(log.records, Kind::kBoot, 3);
  log.Add(Loss(log.head()));
  EXPECT_EQ(Replay(log.records).problem.kind, Kind::kNone);
}

}  // namespace
}  // namespace vmattest::eventlog
