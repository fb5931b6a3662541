#include "snapshot/policy.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::snapshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

constexpr std::string_view kPolicy = R"(
id: linux-server
version: 3
algorithm: blake3
consistency: {mode: paused, pause_budget_ms: 20}
regions:
  - name: ram
    severity: low
    ram: {}
    exclude: [{begin: 0x1000, end: 0x2000}]
  - name: boot
    physical:
      ranges: [{begin: 0, end: 0xA0000}]
  - name: sample
    sample: {pages: 64, seed: nonce}
  - name: kernel
    severity: critical
    kernel: {parts: [text, idt]}
schedule: {every_seconds: 600, jitter_percent: 30}
)";

absl::StatusOr<Policy> Parse(std::string_view yaml) {
  return ParsePolicy(yaml, "p.yaml");
}

std::string With(std::string_view from, std::string_view to) {
  std::string text(kPolicy);
  text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(ParsePolicy, ReadsEveryPart) {
  ASSERT_OK_AND_ASSIGN(const Policy policy, Parse(kPolicy));
  EXPECT_EQ(policy.id, "linux-server");
  EXPECT_EQ(policy.version, 3U);
  EXPECT_EQ(policy.algorithm, HashAlgorithm::kBlake3);
  EXPECT_EQ(policy.consistency, Consistency::kPaused);
  EXPECT_EQ(policy.pause_budget_ms, 20U);
  ASSERT_EQ(policy.regions.size(), 4U);
  EXPECT_EQ(policy.regions[0].severity, Severity::kLow);
  EXPECT_THAT(policy.regions[0].exclude,
              ElementsAre(memory::AddressRange{0x1000, 0x2000}));
  EXPECT_EQ(std::get<Sample>(policy.regions[2].selector).pages, 64U);
  EXPECT_THAT(std::get<GuestSelector>(policy.regions[3].selector).parts,
              ElementsAre("text", "idt"));
  EXPECT_EQ(policy.schedule->jitter_percent, 30U);
}

TEST(ParsePolicy, DigestsWhatItSaysNotHowItIsWritten) {
  ASSERT_OK_AND_ASSIGN(const Policy policy, Parse(kPolicy));
  EXPECT_EQ(Parse("# a comment\n" + std::string(kPolicy))->digest,
            policy.digest);
  for (const auto& [from, to] :
       {std::pair("version: 3", "version: 4"), std::pair("0x2000", "0x3000"),
        std::pair("low", "high"), std::pair("seed: nonce", "seed: other")}) {
    EXPECT_NE(Parse(With(from, to))->digest, policy.digest) << to;
  }
}

TEST(ParsePolicy, NamesWhatIsWrong) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  struct Case {
    const char* from;
    const char* to;
    const char* says;
  };
  for (const Case& one :
       {Case{"severity: low", "severty: low", "severty"},
        Case{"severity: low", "severity: huge", "regions[0] 'ram': severity"},
        Case{"algorithm: blake3", "algorithm: md5", "algorithm: 'md5'"},
        Case{"id: linux-server", "id: Linux", "id: "},
        Case{"version: 3", "version: 0", "version: "},
        Case{"name: boot", "name: ram", "regions[1] 'ram': a second one"},
        Case{"ram: {}", "", "regions[0] 'ram': selector"},
        Case{"begin: 0, end: 0xA0000", "begin: 5, end: 5", "is no range"},
        Case{"pages: 64", "pages: 0", "sample.pages"},
        Case{"[text, idt]", "[text, heap]", "'heap' is none of"},
        Case{"version: 3", "version: 3\npage_bytes: 65536",
             "regions[3] 'kernel': page_bytes: 4096"},
        Case{"ram: {}", "tasks: {fields: [pid]}", "'ram': exclude"},
        Case{"sample: {pages: 64, seed: nonce}",
             "tasks: {fields: [pid]}\n  - name: more\n    tasks: {fields: "
             "[uid]}",
             "'more': a second one of tasks"},
        Case{"mode: paused", "mode: live", "pause_budget_ms"},
        Case{"mode: paused", "mode: sometimes", "consistency.mode"},
        Case{"every_seconds: 600", "every_seconds: 1", "every_seconds"}}) {
    EXPECT_THAT(Parse(With(one.from, one.to)),
                StatusIs(kInvalid, HasSubstr(one.says)))
        << one.to;
  }
}

TEST(ParsePolicy, TakesOneSelectorForEachRegion) {
  EXPECT_THAT(
      Parse(With("ram: {}", "ram: {}\n    sample: {pages: 1, seed: a}")),
      StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmattest::snapshot
