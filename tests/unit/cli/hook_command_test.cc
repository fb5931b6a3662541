#include "cli/hook_command.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <thread>

#include "cli/exit_code.h"
#include "gmock/gmock.h"
#include "support/temp_dir.h"
#include "support/vectors.h"

namespace vmattest::cli {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;
using ::testing::Not;
using testing::Slurp;

// Files of the daemon and of libvirt, in one folder.
class HookCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) {
      GTEST_SKIP() << "the hook must belong to root";
    }
    fs::create_directories(dir_.path() / "state/gate");
    dir_.Write("vmattest-hook", "program");
    Trust("f00d");
  }
  void Trust(const std::string& host_id) {
    const std::string host =
        host_id.empty() ? "" : ", \"host_id\": \"" + host_id + "\"";
    fs::rename(dir_.Write("trust",
                          "{\"format\": \"vmattest/hook/v1\", \"socket\": "
                          "\"/s\", \"when_unavailable\": \"deny\", "
                          "\"accept\": [\"verdict\"]" +
                              host + "}"),
               dir_.path() / "state/gate/hook.json");
  }
  int Run(HookArgs::Action action, const std::string& when_unavailable = "",
          std::chrono::seconds wait = std::chrono::seconds(0)) {
    out_.str("");
    return RunHook({.action = action,
                    .state_dir = dir_.path() / "state",
                    .hooks_dir = dir_.path() / "hooks",
                    .program = dir_.path() / "vmattest-hook",
                    .when_unavailable = when_unavailable,
                    .wait = wait},
                   out_);
  }
  int Install() { return Run(HookArgs::Action::kInstall); }
  int Status() { return Run(HookArgs::Action::kStatus); }
  [[nodiscard]] std::string Config() const {
    return Slurp(dir_.path() / "hooks/vmattest-hook.json");
  }
  [[nodiscard]] struct stat Program() const {
    struct stat status {};
    EXPECT_EQ(stat((dir_.path() / "hooks/qemu.d/vmattest").c_str(), &status),
              0);
    return status;
  }

  testing::TempDir dir_;
  std::ostringstream out_;
};

TEST_F(HookCommandTest, PutsProgramAndKeysWhereLibvirtLooks) {
  EXPECT_EQ(Status(), kExitNotTrustworthy);
  EXPECT_EQ(Install(), kExitGood);
  EXPECT_THAT(out_.str(), HasSubstr("restart it, or send it SIGHUP"));
  EXPECT_EQ(Program().st_mode & 07777, 0755U);
  EXPECT_THAT(Config(), HasSubstr("f00d"));
  EXPECT_EQ(Status(), kExitGood);
}

TEST_F(HookCommandTest, WhatAnAdministratorSetSurvivesNewKeys) {
  ASSERT_EQ(Run(HookArgs::Action::kInstall, "allow"), kExitGood);
  Trust("beef");
  EXPECT_EQ(Status(), kExitNotTrustworthy);
  EXPECT_THAT(out_.str(), HasSubstr("host_id is not the daemon's"));
  EXPECT_EQ(Install(), kExitGood);
  EXPECT_THAT(Config(), HasSubstr("beef"));
  EXPECT_THAT(Config(), HasSubstr("allow"));
}

// libvirtd, which was told of it, need not be told again.
TEST_F(HookCommandTest, AProgramThatIsThereAlreadyIsLeftAlone) {
  ASSERT_EQ(Install(), kExitGood);
  const struct stat before = Program();
  EXPECT_EQ(Install(), kExitGood);
  EXPECT_EQ(Program().st_ino, before.st_ino);
  EXPECT_THAT(out_.str(), Not(HasSubstr("SIGHUP")));
  dir_.Write("vmattest-hook", "another");
  EXPECT_EQ(Status(), kExitNotTrustworthy);
  EXPECT_EQ(Install(), kExitGood);
  EXPECT_NE(Program().st_ino, before.st_ino);
  fs::permissions(dir_.path() / "hooks/qemu.d/vmattest", fs::perms(0644));
  EXPECT_EQ(Install(), kExitGood);
  EXPECT_EQ(Program().st_mode & 07777, 0755U);
}

TEST_F(HookCommandTest, ADaemonThatWasJustStartedIsWaitedFor) {
  fs::remove(dir_.path() / "state/gate/hook.json");
  EXPECT_EQ(Install(), kExitUsage);
  EXPECT_FALSE(fs::exists(dir_.path() / "hooks/qemu.d/vmattest"));
  std::thread daemon([this] {
    Trust("");
    Trust("cafe");
  });
  EXPECT_EQ(Run(HookArgs::Action::kInstall, "", std::chrono::seconds(60)),
            kExitGood);
  daemon.join();
  EXPECT_THAT(Config(), HasSubstr("cafe"));
}

TEST_F(HookCommandTest, UninstallTakesBothAway) {
  ASSERT_EQ(Install(), kExitGood);
  EXPECT_EQ(Run(HookArgs::Action::kUninstall), kExitGood);
  EXPECT_FALSE(
      std::filesystem::exists(dir_.path() / "hooks/vmattest-hook.json"));
  EXPECT_EQ(Status(), kExitNotTrustworthy);
}

}  // namespace
}  // namespace vmattest::cli
