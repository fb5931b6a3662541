#include "cli/policy_command.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "cli/exit_code.h"
#include "support/temp_dir.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PolicyCheckTest : public ::testing::Test {
 protected:
  // Exit code; what it printed is in out_ and err_.
  int Check(const std::string& yaml, uint64_t memory_mib = 1024) {
    const auto file = dir_.path() / "policy.yaml";
    std::ofstream(file) << yaml;
    std::ostringstream out;
    std::ostringstream err;
    const int code = RunPolicyCheck({file.string(), memory_mib}, out, err);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  static std::string Policy(const std::string& mode) {
    return "id: p\nversion: 3\ndescription: d\nalgorithm: sha256\n"
           "consistency:\n  mode: " +
           mode +
           "\nregions:\n"
           "  - name: all\n    severity: info\n    ram: {}\n"
           "  - name: text\n    severity: critical\n    kernel: {parts: "
           "[text]}\n";
  }

  const testing::TempDir dir_;
  std::string out_;
  std::string err_;
};

TEST_F(PolicyCheckTest, SaysWhatIsReadOfAVmOfThatSizeAndWhatOnlyAVmKnows) {
  ASSERT_EQ(Check(Policy("live")), kExitGood) << err_;
  EXPECT_THAT(out_, HasSubstr("p@3"));
  EXPECT_THAT(out_, HasSubstr("all (info): all RAM, 1048"));
  EXPECT_THAT(out_, HasSubstr("known in a running VM (--vm)"));
  EXPECT_THAT(out_, HasSubstr("of a VM of 1024 MiB"));
  EXPECT_THAT(out_, Not(HasSubstr("pause")));
}

TEST_F(PolicyCheckTest, TheEstimatedPauseIsThatOfItsConsistency) {
  ASSERT_EQ(Check(Policy("paused")), kExitGood) << err_;
  EXPECT_THAT(out_, HasSubstr("at most"));
  EXPECT_THAT(out_, HasSubstr("pause       about 26"));  // 1 GiB at 4 GiB/s
  ASSERT_EQ(Check(Policy("point-in-time")), kExitGood) << err_;
  EXPECT_THAT(out_, HasSubstr("about 300 ms, while QEMU saves"));
}

TEST_F(PolicyCheckTest, WhatIsNoPolicyIsNamed) {
  EXPECT_EQ(Check("id: p\nversion: 1\nregion: []\n"), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("region"));
  EXPECT_EQ(out_, "");
}

}  // namespace
}  // namespace vmattest::cli
