#include "eventlog/ima_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crypto/tpm_digest.h"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest::eventlog {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::StatusIs;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(ImaLog, ReplaysRealLists) {
  VMATTEST_REQUIRE_VECTORS(folder, "ima-log");
  const json lists = json::parse(testing::Slurp(folder / "expected.json"));
  ASSERT_GE(lists.size(), 5u);
  for (const json& expected : lists) {
    const std::string name = expected["file"];
    SCOPED_TRACE(name);
    ASSERT_OK_AND_ASSIGN(const ImaLog log,
                         ParseImaAscii(testing::Slurp(folder / name)));
    EXPECT_EQ(TpmDigestName(log.bank), expected["template_hash_bank"]);
    EXPECT_EQ(log.entries.size(), expected["entries"]);
    json templates = json::object();
    size_t violations = 0;
    for (const ImaEntry& entry : log.entries) {
      templates[entry.template_name] =
          templates.value(entry.template_name, 0) + 1;
      violations += entry.violation() ? 1 : 0;
    }
    EXPECT_EQ(templates, expected["templates"]);
    EXPECT_EQ(violations, expected["violations"]);
    EXPECT_EQ(ToHex(ReplayImaLog(log).at(10)), expected["pcr10"]);
  }
}

TEST(ImaLog, FindsTheTemplateHashesOfARealKernelRight) {
  VMATTEST_REQUIRE_VECTORS(folder, "ima-log");
  ASSERT_OK_AND_ASSIGN(
      ImaLog log, ParseImaAscii(testing::Slurp(
                      folder / "rust-keylime-ascii_runtime_measurements")));
  for (const ImaEntry& entry : log.entries) {
    EXPECT_TRUE(TemplateHashHolds(entry, log.bank)) << entry.path;
  }
  ImaEntry changed = log.entries.front();
  changed.template_data.back() ^= 1;
  EXPECT_FALSE(TemplateHashHolds(changed, log.bank));
}

TEST(ImaLog, ReadsBinaryListsOfBothTemplates) {
  VMATTEST_REQUIRE_VECTORS(folder, "ima-log");
  for (const char* name :
       {"tpm2-tss/sml-ima-ng-sha1.bin", "tpm2-tss/sml-ima-sha1.bin"}) {
    SCOPED_TRACE(name);
    const std::string bytes = testing::Slurp(folder / name);
    // Somebody's editor added a newline to one of the files.
    const size_t size = bytes.size() - (bytes.ends_with('\n') ? 1 : 0);
    ASSERT_OK_AND_ASSIGN(const ImaLog log,
                         ParseImaBinary(AsBytes(bytes).first(size)));
    EXPECT_GT(log.entries.size(), 4u);
    EXPECT_EQ(log.entries.front().path, "boot_aggregate");
    for (const ImaEntry& entry : log.entries) {
      EXPECT_TRUE(entry.violation() || TemplateHashHolds(entry, log.bank))
          << entry.path;
    }
  }
}

TEST(ImaLog, DoesNotTakeAnUnknownAlgorithmForAKnownOne) {
  const std::string line = "10 " + std::string(64, 'a') +
                           " ima-ng sm3_256:" + std::string(64, 'b') +
                           " /data\n";
  ASSERT_OK_AND_ASSIGN(const ImaLog log, ParseImaAscii(line));
  EXPECT_EQ(log.entries.front().digest_algorithm, "sm3_256");
  EXPECT_EQ(log.entries.front().known_algorithm, std::nullopt);
  const std::string known = "10 " + std::string(64, 'a') +
                            " ima-ng sha256:" + std::string(64, 'b') +
                            " /data\n";
  ASSERT_OK_AND_ASSIGN(const ImaLog good, ParseImaAscii(known));
  EXPECT_EQ(good.entries.front().known_algorithm, kTpmAlgIdSha256);
}

TEST(ImaLog, AViolationExtendsOnesAndProvesNothing) {
  const std::string line = "10 " + std::string(40, '0') +
                           " ima-ng sha1:" + std::string(40, '0') + " /data\n";
  ASSERT_OK_AND_ASSIGN(const ImaLog log, ParseImaAscii(line));
  EXPECT_TRUE(log.entries.front().violation());
  EXPECT_FALSE(TemplateHashHolds(log.entries.front(), log.bank));
  EXPECT_EQ(ReplayImaLog(log).at(10),
            TpmHash(kTpmAlgIdSha1, {Bytes(20, 0), Bytes(20, 0xFF)}));
}

TEST(ImaLog, KeepsTheThirdField) {
  ASSERT_OK_AND_ASSIGN(const ImaLog log,
                       ParseImaAscii("10 " + std::string(40, 'a') +
                                     " ima-buf sha256:" + std::string(64, 'b') +
                                     " .ima 0102ff\n"));
  EXPECT_EQ(log.entries.front().extra, (Bytes{1, 2, 0xFF}));
}

TEST(ImaLog, LetsUnknownTemplatesCountOnly) {
  ASSERT_OK_AND_ASSIGN(
      const ImaLog log,
      ParseImaAscii("10 " + std::string(40, 'a') + " evm-sig a b c d e f\n"));
  EXPECT_TRUE(log.entries.front().template_data.empty());
  EXPECT_FALSE(TemplateHashHolds(log.entries.front(), log.bank));
  EXPECT_EQ(ReplayImaLog(log).size(), 1u);
}

TEST(ImaLog, RefusesBrokenLines) {
  const std::string hash(40, 'a');
  for (const std::string& line : std::vector<std::string>{
           "\n", "10", "10 " + hash,
           "32 " + hash + " ima-ng sha1:" + hash + " /x",
           "-1 " + hash + " ima-ng sha1:" + hash + " /x",
           "10 abc ima-ng sha1:" + hash + " /x",
           "10 aabb ima-ng sha1:" + hash + " /x",
           "10 " + hash + " ima-ng " + hash + " /x",
           "10 " + hash + " ima-ng sha1:" + hash + "aa /x",
           "10 " + hash + " ima-ng sha1:" + hash,
           "10 " + hash + " ima-ng sha1:" + hash + " /x y",
           "10 " + hash + " ima-sig sha1:" + hash + " /x zz",
           "10 " + hash + " ima " + hash + " " + std::string(257, 'x')}) {
    EXPECT_THAT(ParseImaAscii(line), StatusIs(kInvalid, HasSubstr("entry 0")))
        << line;
  }
}

TEST(ImaLog, RefusesListsOfMixedHashes) {
  EXPECT_THAT(ParseImaAscii("10 " + std::string(40, 'a') + " x y\n10 " +
                            std::string(64, 'a') + " x y\n"),
              StatusIs(kInvalid, HasSubstr("entry 1")));
}

TEST(ImaLog, RefusesEveryTruncationOfABinaryEntry) {
  VMATTEST_REQUIRE_VECTORS(folder, "ima-log");
  const std::string bytes =
      testing::Slurp(folder / "tpm2-tss/sml-ima-ng-sha1.bin");
  constexpr size_t kFirstEntry = 0x57;
  for (size_t size = 1; size < kFirstEntry; ++size) {
    EXPECT_THAT(ParseImaBinary(AsBytes(bytes).first(size)),
                StatusIs(kInvalid, HasSubstr("entry 0")))
        << size;
  }
  EXPECT_THAT(ParseImaBinary(AsBytes(bytes).first(kFirstEntry)),
              testing::IsOk());
}

}  // namespace
}  // namespace vmattest::eventlog
