#include "gate/hook_watch.h"

#include <sys/stat.h>
#include <utime.h>

#include <filesystem>

#include "fakes/manual_clock.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;

constexpr char kUuid[] = "00112233-4455-6677-8899-aabbccddeeff";

class HookWatchTest : public ::testing::Test {
 protected:
  HookWatchTest() {
    std::filesystem::create_directories(dir_.path() / "hooks/qemu.d");
    std::filesystem::create_directories(dir_.path() / "proc");
    program_ = dir_.Write("vmattest-hook", "program");
    hook_ = dir_.Write("hooks/qemu.d/vmattest", "program");
    chmod(hook_.c_str(), 0755);
  }
  HookWatch Watch() {
    return HookWatch(sessions_, {.hooks = dir_.path() / "hooks",
                                 .program = program_,
                                 .called = dir_.path() / "called",
                                 .proc = dir_.path() / "proc"});
  }
  void ExpectFault(const HookWatch& watch, const char* sentence) {
    EXPECT_THAT(std::string(watch.Check().message()), HasSubstr(sentence));
  }
  testing::TempDir dir_;
  testing::ManualClock clock_;
  LaunchSessions sessions_{clock_};
  std::filesystem::path program_;
  std::filesystem::path hook_;
};

TEST_F(HookWatchTest, AnInstalledHookIsInOrder) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "the hook must be root's";
  }
  EXPECT_THAT(Watch().Check(), IsOk());
}

TEST_F(HookWatchTest, AHookChangedAfterItWasFoundInOrderIsTold) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "the hook must be root's";
  }
  const HookWatch watch = Watch();
  EXPECT_THAT(watch.Check(), IsOk());
  EXPECT_THAT(watch.Check(), IsOk());
  dir_.Write("hooks/qemu.d/vmattest", "another");
  ExpectFault(watch, "is not the vmattest-hook of this build");
}

TEST_F(HookWatchTest, AMissingHookIsTold) {
  std::filesystem::remove(hook_);
  ExpectFault(Watch(), "is missing");
}

TEST_F(HookWatchTest, AHookThatIsNotExecutableIsTold) {
  chmod(hook_.c_str(), 0644);
  ExpectFault(Watch(), "is not executable");
}

TEST_F(HookWatchTest, AHookThatOthersCanChangeIsTold) {
  chmod(hook_.c_str(), 0775);
  ExpectFault(Watch(), "can be changed by others");
}

TEST_F(HookWatchTest, AnotherProgramInItsPlaceIsTold) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "the hook must be root's";
  }
  dir_.Write("hooks/qemu.d/vmattest", "something else");
  ExpectFault(Watch(), "not the vmattest-hook of this build");
}

TEST_F(HookWatchTest, AStartWithoutACallIsToldUntilOneIsCalled) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "the hook must be root's";
  }
  HookWatch watch = Watch();
  EXPECT_FALSE(watch.NoteStarted(kUuid, "web"));
  ExpectFault(watch, "VM 'web' started and libvirt did not call the hook");
  sessions_.NoteCalled(kUuid);
  EXPECT_TRUE(watch.NoteStarted(kUuid, "web"));
  EXPECT_THAT(watch.Check(), IsOk());
}

// A libvirtd that started at boot, and a hook that is younger than that.
TEST_F(HookWatchTest, AHookInstalledAfterLibvirtdStartedIsTold) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "the hook must be root's";
  }
  std::filesystem::create_directories(dir_.path() / "proc/77/root/etc/libvirt");
  std::filesystem::create_symlink(
      dir_.path() / "hooks", dir_.path() / "proc/77/root/etc/libvirt/hooks");
  dir_.Write("proc/77/comm", "libvirtd\n");
  dir_.Write("proc/77/stat",
             "77 (libvirtd) S 1 77 77 0 -1 0 0 0 0 0 0 0 0 0 20 0 17 0 1 0 0");
  ExpectFault(Watch(), "restart libvirtd or send SIGHUP");
  Watch().NoteCall();
  EXPECT_THAT(Watch().Check(), IsOk());
}

}  // namespace
}  // namespace vmattest::gate
