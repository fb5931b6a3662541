#include "signing/host_log.h"

#include <algorithm>
#include <memory>

#include "crypto/digest.h"
#include "eventlog/host_log.h"
#include "fakes/fake_host_tpm.h"
#include "fakes/manual_clock.h"
#include "fakes/memory_log_folder.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::signing {
namespace {

using eventlog::CelRecord;
using eventlog::HostEvent;
using eventlog::HostLogFact;
using eventlog::HostLogProblem;
using testing::FakeHostTpm;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::MemoryLogFolder;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr uint8_t kPcr = 13;

HostEvent Event(const std::string& id) {
  return {.kind = "vm-started",
          .facts = {{"id", id}},
          .time_unix_ms = 1'700'000'000'000};
}

class HostLogTest : public ::testing::Test {
 protected:
  HostLogTest() { Provision(); }

  void Provision() {
    while (!tpm_.Provision().ok()) {
    }
  }
  std::unique_ptr<HostLog> Start() {
    auto log = std::make_unique<HostLog>(tpm_, disk_, clock_, kPcr);
    EXPECT_THAT(log->Open(), IsOk());
    return log;
  }
  void PowerCycle() {
    tpm_.Reset();
    Provision();
  }
  absl::Status Append(HostLog& log, const std::string& id) {
    const std::vector<HostEvent> events = {Event(id)};
    return log.Append(events).status;
  }
  std::vector<CelRecord> Records() {
    const auto records = eventlog::ParseCel(disk_.All());
    EXPECT_THAT(records, IsOk());
    return records.ok() ? *records : std::vector<CelRecord>();
  }
  std::vector<std::string> Kinds() {
    std::vector<std::string> kinds;
    for (const CelRecord& record : Records()) {
      kinds.push_back(eventlog::ParseHostEvent(AsText(record.content))->kind);
    }
    return kinds;
  }
  std::string LastContent(const std::string& kind) {
    std::string content;
    for (const CelRecord& record : Records()) {
      if (eventlog::ParseHostEvent(AsText(record.content))->kind == kind) {
        content = AsText(record.content);
      }
    }
    return content;
  }
  eventlog::HostLogReplay Replay() {
    return eventlog::ReplayHostLog(Records(), kPcr, HashAlgorithm::kSha256);
  }
  // File, PCR and anchor say the same.
  void ExpectConsistent() {
    const eventlog::HostLogReplay replay = Replay();
    ASSERT_EQ(replay.problem.kind, HostLogProblem::Kind::kNone)
        << replay.problem.record << ": " << replay.problem.found << ", not "
        << replay.problem.expected;
    EXPECT_EQ(replay.pcrs.back(), tpm_.pcr(kPcr));
    ExpectAnchorAtEnd(replay);
  }
  void ExpectAnchorAtEnd(const eventlog::HostLogReplay& replay) {
    ASSERT_OK_AND_ASSIGN(const tpm::LogRegisters registers,
                         tpm_.ReadLogRegisters());
    EXPECT_EQ(registers.head, replay.heads.back());
    EXPECT_EQ(registers.size, Records().back().number);
    EXPECT_EQ(registers.boot_count, replay.boot.boot_count);
  }

  testing::ManualClock clock_;
  FakeHostTpm tpm_;
  MemoryLogFolder disk_;
};

TEST_F(HostLogTest, S1_FirstRecordOfEachBootIsABootRecord) {
  auto log = Start();
  EXPECT_THAT(Append(*log, "a"), IsOk());
  EXPECT_THAT(log->Append(std::vector<HostEvent>{{.kind = "daemon-stopped",
                                                  .facts = {},
                                                  .time_unix_ms = 1}})
                  .status,
              IsOk());
  PowerCycle();
  log = Start();
  EXPECT_THAT(Append(*log, "b"), IsOk());
  EXPECT_THAT(Kinds(),
              ::testing::ElementsAre("boot", "daemon-started", "vm-started",
                                     "daemon-stopped", "boot", "daemon-started",
                                     "vm-started"));
  EXPECT_EQ(log->boot_record(), 5U);
  EXPECT_EQ(log->head().size, 7U);
  EXPECT_THAT(disk_.files, SizeIs(2));
  EXPECT_THAT(Replay().facts, IsEmpty());
  EXPECT_TRUE(Replay().boot.closed);
  ExpectConsistent();
}

TEST_F(HostLogTest, S1_BootAfterNoCloseRecordIsUnclean) {
  auto log = Start();
  PowerCycle();
  log = Start();
  EXPECT_FALSE(Replay().boot.closed);
  EXPECT_THAT(Replay().facts, SizeIs(1));
  EXPECT_EQ(log->problem(), "");
}

TEST_F(HostLogTest, RestartInTheSameBootGoesOn) {
  auto log = Start();
  EXPECT_THAT(Append(*log, "a"), IsOk());
  log = Start();
  EXPECT_THAT(Append(*log, "b"), IsOk());
  EXPECT_THAT(Kinds(),
              ::testing::ElementsAre("boot", "daemon-started", "vm-started",
                                     "daemon-started", "vm-started"));
  EXPECT_THAT(disk_.files, SizeIs(1));
  ExpectConsistent();
}

TEST_F(HostLogTest, ABatchIsOneAnchorWrite) {
  auto log = Start();
  const int before = tpm_.anchor_writes();
  const std::vector<HostEvent> events(20, Event("x"));
  const HostLog::Appended appended = log->Append(events);
  EXPECT_THAT(appended.status, IsOk());
  EXPECT_EQ(appended.first, 3U);
  EXPECT_EQ(tpm_.anchor_writes(), before + 1);
  ExpectConsistent();
}

TEST_F(HostLogTest, OpeningAgainDoesNothing) {
  auto log = Start();
  const int before = tpm_.anchor_writes();
  EXPECT_THAT(log->Open(), IsOk());
  EXPECT_EQ(tpm_.anchor_writes(), before);
  EXPECT_THAT(Records(), SizeIs(2));
}

TEST_F(HostLogTest, TornTailIsCutOffAndKept) {
  auto log = Start();
  EXPECT_THAT(Append(*log, "a"), IsOk());
  Bytes& file = disk_.files.begin()->second;
  file.insert(file.end(), {0, 0, 0, 0, 8, 0, 0});
  log = Start();
  EXPECT_EQ(log->problem(), "");
  EXPECT_THAT(disk_.aside, SizeIs(1));
  EXPECT_EQ(disk_.aside.begin()->second, Bytes({0, 0, 0, 0, 8, 0, 0}));
  ExpectConsistent();
}

TEST_F(HostLogTest, RecordsThatAreGoneAreNamed) {
  auto log = Start();
  EXPECT_THAT(Append(*log, "a"), IsOk());
  const Bytes before = disk_.files.begin()->second;
  EXPECT_THAT(Append(*log, "b"), IsOk());
  EXPECT_THAT(Append(*log, "c"), IsOk());
  disk_.files.begin()->second = before;
  log = Start();
  EXPECT_THAT(log->problem(), HasSubstr("records 4 to 5 are missing"));
  EXPECT_THAT(log->problem(), HasSubstr("no record of this boot accounts for"));
  EXPECT_THAT(LastContent("log-loss"), HasSubstr("\"missing_first\":\"4\""));
  EXPECT_THAT(LastContent("log-loss"), HasSubstr("\"missing_last\":\"5\""));
  EXPECT_EQ(log->head().size, 7U);  // the numbers are not given again
  EXPECT_THAT(Append(*log, "d"), IsOk());
  ExpectConsistent();
  ASSERT_THAT(Replay().facts, SizeIs(1));
  EXPECT_EQ(Replay().facts[0].kind, HostLogFact::Kind::kLost);
  EXPECT_EQ(Replay().facts[0].first_lost, 4U);
  EXPECT_EQ(Replay().facts[0].last_lost, 5U);
  // Said once, remembered until the next boot.
  log = Start();
  EXPECT_THAT(log->problem(), HasSubstr("records 4 to 5 are missing"));
  const std::vector<std::string> kinds = Kinds();
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "log-loss"), 1);
}

TEST_F(HostLogTest, RecordsThatAreGoneSinceTheLastBootAreNamed) {
  auto log = Start();
  const Bytes before = disk_.files.begin()->second;
  EXPECT_THAT(Append(*log, "a"), IsOk());
  disk_.files.begin()->second = before;
  PowerCycle();
  log = Start();
  EXPECT_THAT(log->problem(), HasSubstr("records 3 to 3 are missing"));
  const eventlog::HostLogReplay replay = Replay();
  ASSERT_EQ(replay.problem.kind, HostLogProblem::Kind::kNone);
  ASSERT_THAT(replay.facts, SizeIs(3));  // the gap, the end, the words
  EXPECT_EQ(replay.facts[0].kind, HostLogFact::Kind::kLost);
  EXPECT_EQ(replay.facts[0].first_lost, 3U);
  ExpectConsistent();
}

TEST_F(HostLogTest, S1_UndefinedIndexIsALossNeverAnEmptyLog) {
  auto log = Start();
  EXPECT_THAT(Append(*log, "a"), IsOk());
  tpm_.UndefineLogAnchor();
  log = Start();
  EXPECT_THAT(log->problem(), HasSubstr("index of the log was removed"));
  ExpectConsistent();
}

TEST_F(HostLogTest, S1_UndefinedIndexAndNoFilesIsALossNeverAnEmptyLog) {
  Start();
  tpm_.UndefineLogAnchor();
  disk_.files.clear();
  PowerCycle();
  const auto log = Start();
  EXPECT_THAT(log->problem(), HasSubstr("index of the log was removed"));
  EXPECT_THAT(Kinds(),
              ::testing::ElementsAre("boot", "log-loss", "daemon-started"));
  EXPECT_FALSE(Replay().boot.closed);
}

TEST_F(HostLogTest, DeletedFilesAreALoss) {
  Start();
  disk_.files.clear();
  PowerCycle();
  const auto log = Start();
  EXPECT_THAT(log->problem(), HasSubstr("records 1 to 2 are missing"));
  EXPECT_EQ(log->boot_record(), 3U);
}

TEST_F(HostLogTest, AnotherHeadIsALoss) {
  Start();
  tpm_.ForgeLogAnchor(2, Bytes(32, 0xAB));
  const auto log = Start();
  EXPECT_THAT(log->problem(), HasSubstr("which the files never had"));
  EXPECT_THAT(log->problem(), HasSubstr("abababab"));
}

TEST_F(HostLogTest, AForeignExtendIsTold) {
  auto log = Start();
  tpm_.ExtendPcr(kPcr, Bytes(32, 1));
  // Also while it runs.
  EXPECT_THAT(log->Open(), IsOk());
  EXPECT_THAT(log->problem(), HasSubstr("no record of this boot accounts for"));
  EXPECT_THAT(Append(*log, "a"), IsOk());
  log = Start();
  const std::vector<std::string> kinds = Kinds();
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "log-loss"), 1);
}

TEST_F(HostLogTest, AForeignExtendBeforeTheBootRecordIsTold) {
  Start();
  PowerCycle();
  tpm_.ExtendPcr(kPcr, Bytes(32, 1));
  auto log = Start();
  EXPECT_THAT(log->problem(), HasSubstr("others extend it"));
  log = Start();
  const std::vector<std::string> kinds = Kinds();
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "log-loss"), 1);
}

TEST_F(HostLogTest, AnAlteredRecordIsALoss) {
  auto log = Start();
  EXPECT_THAT(Append(*log, "first"), IsOk());
  EXPECT_THAT(Append(*log, "second"), IsOk());
  Bytes& file = disk_.files.begin()->second;
  const std::string needle = "first";
  const auto at =
      std::search(file.begin(), file.end(), needle.begin(), needle.end());
  ASSERT_NE(at, file.end());
  *at = 'F';
  log = Start();
  EXPECT_THAT(log->problem(), HasSubstr("records 3 to 4 are missing"));
  EXPECT_THAT(disk_.aside, SizeIs(1));
}

TEST_F(HostLogTest, FullDiskFailsTheAppendAndNothingElse) {
  auto log = Start();
  EXPECT_THAT(Append(*log, "kept"), IsOk());
  disk_.room = 10;
  const Bytes pcr = tpm_.pcr(kPcr);
  EXPECT_THAT(Append(*log, "refused"),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(tpm_.pcr(kPcr), pcr);
  ExpectConsistent();
  disk_.room = SIZE_MAX;
  EXPECT_THAT(Append(*log, "room again"), IsOk());
  EXPECT_EQ(log->head().size, 4U);
  ExpectConsistent();
}

TEST_F(HostLogTest, FullDiskAtTheFirstRecordClosesTheLogUntilThereIsRoom) {
  disk_.room = 100;
  HostLog log(tpm_, disk_, clock_, kPcr);
  EXPECT_THAT(log.Open(), IsOk());
  EXPECT_THAT(log.status(), StatusIs(absl::StatusCode::kResourceExhausted));
  disk_.room = SIZE_MAX;
  EXPECT_THAT(log.Open(), IsOk());
  EXPECT_THAT(log.status(), IsOk());
  EXPECT_EQ(log.problem(), "");
  ExpectConsistent();
}

TEST_F(HostLogTest, ResetWhileItRunsIsANewBoot) {
  auto log = Start();
  tpm_.Reset();
  EXPECT_THAT(Append(*log, "a"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(log->Open(), IsOk());
  EXPECT_THAT(Kinds(), ::testing::ElementsAre("boot", "daemon-started",
                                              "vm-started", "boot"));
  ExpectConsistent();
}

}  // namespace
}  // namespace vmattest::signing
