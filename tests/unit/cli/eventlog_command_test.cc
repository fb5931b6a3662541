#include "cli/eventlog_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/exit_code.h"
#include "eventlog/bundle.h"
#include "support/host_log_evidence.h"
#include "support/temp_dir.h"
#include "support/vectors.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

class EventLogCommandTest : public ::testing::Test {
 protected:
  EventLogCommandTest() {
    dir.Write("anchors/host-1.json",
              wire::HostIdentityToJson(evidence.Identity()));
    verify.anchors = (dir.path() / "anchors").string();
    verify.file = WriteBundle(evidence.Build());
  }

  std::string WriteBundle(const eventlog::Bundle& bundle) {
    return dir.Write("log.json", eventlog::EncodeBundle(bundle)).string();
  }

  template <class Args>
  static Ran Run(int (*command)(const Args&, std::ostream&, std::ostream&),
                 const Args& args) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = command(args, out, err);
    return {code, out.str(), err.str()};
  }

  testing::TempDir dir;
  testing::SoftHost host;
  testing::HostLogEvidence evidence{host};
  EventLogVerifyArgs verify;
};

TEST_F(EventLogCommandTest, VerifyTrustsASoundLog) {
  const Ran ran = Run(RunEventLogVerify, verify);
  EXPECT_EQ(ran.code, kExitGood) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("verdict     trusted"));
  EXPECT_THAT(ran.out, HasSubstr("1 to 9, this boot from 5 on (boot 2)"));
}

TEST_F(EventLogCommandTest, VerifyNamesWhatIsMissingWhenALineIsCut) {
  std::string text = testing::Slurp(verify.file);
  const size_t line = text.find("{\"recnum\":7");
  text.erase(line, text.find('\n', line) + 1 - line);
  dir.Write("log.json", text);
  const Ran ran = Run(RunEventLogVerify, verify);
  EXPECT_EQ(ran.code, kExitNotTrustworthy);
  EXPECT_THAT(ran.out, HasSubstr("eventlog-record-missing"));
  EXPECT_THAT(ran.out, HasSubstr("\"record 7\""));
}

TEST_F(EventLogCommandTest, VerifyPrintsJson) {
  verify.json = true;
  verify.nonce = ToHex(evidence.builder.header.nonce);
  const Ran ran = Run(RunEventLogVerify, verify);
  EXPECT_EQ(ran.code, kExitGood);
  const json printed = json::parse(ran.out);
  EXPECT_EQ(printed["trusted"], true);
  EXPECT_EQ(printed["records"]["last"], 9);
  EXPECT_EQ(printed["claims"]["freshness"], "nonce");
  EXPECT_TRUE(printed["facts"].empty());
}

TEST_F(EventLogCommandTest, VerifyPrintsFacts) {
  evidence.boot_log = testing::BootLogWriter();
  verify.file = WriteBundle(evidence.Build());
  EXPECT_THAT(Run(RunEventLogVerify, verify).out, HasSubstr("no-boot-log"));
}

TEST_F(EventLogCommandTest, VerifyTellsUsageFromVerdict) {
  EventLogVerifyArgs args = verify;
  args.nonce = "00";
  EXPECT_EQ(Run(RunEventLogVerify, args).code, kExitUsage);
  args = verify;
  args.file = "/nonexistent";
  EXPECT_EQ(Run(RunEventLogVerify, args).code, kExitUsage);
  args = verify;
  dir.Write("empty/readme", "no anchors");
  args.anchors = (dir.path() / "empty").string();
  EXPECT_EQ(Run(RunEventLogVerify, args).code, kExitUndecided);
  args = verify;
  args.file = dir.Write("other", "text").string();
  EXPECT_EQ(Run(RunEventLogVerify, args).code, kExitNotTrustworthy);
}

TEST_F(EventLogCommandTest, ShowReadsAllThreeForms) {
  const std::vector<eventlog::CelRecord>& records = evidence.log.records;
  Bytes tlv;
  for (const eventlog::CelRecord& record : records) {
    const Bytes one = eventlog::EncodeCel(record);
    tlv.insert(tlv.end(), one.begin(), one.end());
  }
  const std::string forms[] = {
      verify.file, dir.Write("log.cel", AsText(tlv)).string(),
      dir.Write("cel.json", eventlog::ToCelJsonLog(records)).string()};
  for (const std::string& form : forms) {
    const Ran ran = Run(RunEventLogShow, {.file = form});
    EXPECT_EQ(ran.code, kExitGood) << ran.err;
    EXPECT_THAT(ran.out, HasSubstr("       8  2023-11-14T22:13:20Z  vm-started"
                                   "          \"web-2\""));
    EXPECT_THAT(ran.out, HasSubstr("aaaaaaaaaaaaaaaa"));
    EXPECT_THAT(ran.out, HasSubstr("boot_count=2"));
  }
}

TEST_F(EventLogCommandTest, ShowPrintsOneJsonRecordALine) {
  const Ran ran = Run(RunEventLogShow, {.file = verify.file, .json = true});
  std::istringstream lines(ran.out);
  size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_EQ(json::parse(line)["recnum"], count + 1);
  }
  EXPECT_EQ(count, 9u);
}

TEST_F(EventLogCommandTest, ShowEscapesWhatAGuestMayHaveChosen) {
  evidence.log.Launch("\x1b[2J\nforged");
  verify.file = WriteBundle(evidence.Build());
  const Ran ran = Run(RunEventLogShow, {.file = verify.file});
  EXPECT_THAT(ran.out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(ran.out, Not(HasSubstr("\nforged")));
}

TEST_F(EventLogCommandTest, ShowRefusesOtherFiles) {
  for (const char* text : {"{", "[1]", "text"}) {
    const Ran ran =
        Run(RunEventLogShow, {.file = dir.Write("other", text).string()});
    EXPECT_EQ(ran.code, kExitUsage);
    EXPECT_THAT(ran.err, HasSubstr("vmattest eventlog show: "));
  }
}

TEST_F(EventLogCommandTest, BootReplaysAFirmwareLog) {
  for (const std::string& file :
       {dir.Write("boot.bin", AsText(evidence.boot_log.log())).string(),
        verify.file}) {
    const Ran ran = Run(RunEventLogBoot, {.file = file});
    EXPECT_EQ(ran.code, kExitGood) << ran.err;
    EXPECT_THAT(ran.out, HasSubstr("EV_SEPARATOR"));
    EXPECT_THAT(ran.out,
                HasSubstr("pcr 7   " + ToHex(evidence.boot_log.pcrs().at(7))));
  }
}

TEST_F(EventLogCommandTest, BootPrintsJsonOfARealLog) {
  VMATTEST_REQUIRE_VECTORS(folder, "tpm-eventlog");
  const Ran ran = Run(RunEventLogBoot,
                      {.file = folder / "logs/glinux-alex.bin", .json = true});
  ASSERT_EQ(ran.code, kExitGood) << ran.err;
  const json printed = json::parse(ran.out);
  EXPECT_EQ(printed["startup_locality"], 3);
  EXPECT_EQ(printed["events"].size(), 28u);
  EXPECT_EQ(printed["registers"]["0"]["separator"], true);
}

TEST_F(EventLogCommandTest, BootRefusesBanksAndFilesThatAreNotThere) {
  EXPECT_EQ(Run(RunEventLogBoot, {.file = verify.file, .bank = "md5"}).code,
            kExitUsage);
  EXPECT_EQ(Run(RunEventLogBoot, {.file = verify.file, .bank = "sha384"}).code,
            kExitUsage);
  EXPECT_EQ(Run(RunEventLogBoot, {.file = "/nonexistent"}).code, kExitUsage);
}

}  // namespace
}  // namespace vmattest::cli
