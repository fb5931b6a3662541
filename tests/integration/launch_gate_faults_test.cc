// What goes wrong around the launch gate, and what is done behind its back, on
// real parts.
#include <csignal>
#include <fstream>
#include <thread>

#include "integration/launch_gate_bed.h"

namespace vmattest::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kCdrom[] =
    "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>"
    "<source file='{}/medium'/><target dev='hda' bus='ide'/><readonly/></disk>";

class LaunchGateFaultsTest : public LaunchGateBed {
 protected:
  // A shell command beside libvirtd, in its pid namespace.
  Ran Inside(const std::string& command) {
    return RunToEnd({VMATTEST_TESTBED "/host", "exec",
                     (host_->folder() / "host").string(), "sh", "-c", command});
  }
  bool SeesInLog(const std::string& text) {
    return Eventually([this, &text] {
      return daemon_->log().find(text) != std::string::npos;
    });
  }
  static std::string Fact(const std::string& name, const std::string& value) {
    return name + "=\"" + value + "\"";
  }
  bool Pauses() {
    return Eventually(
        [this] { return State().find("paused") != std::string::npos; });
  }
  std::string Live() { return host_->Virsh({"dumpxml", "web"}).value_or(""); }
  std::string Path(const std::string& name) { return host_->folder() / name; }
  // Approved and running, with a medium in its drive.
  void RunApproved() {
    InstallHook();
    Write("medium", std::string(1u << 20, 'm'));
    vm_.devices = fmt::format(kCdrom, host_->folder().string());
    Approve(vm_);
    ASSERT_EQ(Start(), "") << daemon_->log();
  }
  void RunAgain() {
    Destroy();
    ASSERT_EQ(Start(), "") << daemon_->log();
    ASSERT_THAT(State(), HasSubstr("running"));
  }
  GateVm vm_;
};

TEST_F(LaunchGateFaultsTest, SighupMakesLibvirtdKnowTheHook) {
  ASSERT_TRUE(Eventually([this] { return Hook("install").exit_code == 0; }));
  Define({});
  EXPECT_EQ(Start(), "");  // libvirtd does not know it yet
  Destroy();
  ASSERT_EQ(
      Inside("kill -HUP $(cat " + Path("host/libvirtd.pid") + ")").exit_code,
      0);
  EXPECT_TRUE(Eventually([this] {
    const std::string error = Start();
    if (error.empty()) {
      Destroy();  // it reads its hooks in its own time
    }
    return error.find("gate-no-reference") != std::string::npos;
  }));
}

TEST_F(LaunchGateFaultsTest, AHookKilledWhileItWaitsStartsNothing) {
  InstallHook();
  Approve({});
  daemon_->Signal(SIGSTOP);
  std::string error;
  std::thread starting([this, &error] { error = Start(); });
  const bool killed = Eventually([this] {
    return Inside(
               "for exe in /proc/[0-9]*/exe; do "
               "if [ \"$(readlink $exe)\" = /etc/libvirt/hooks/qemu.d/vmattest "
               "]; then pid=${exe#/proc/}; kill -9 ${pid%/exe} && exit 0; fi; "
               "done; exit 1")
               .exit_code == 0;
  });
  EXPECT_TRUE(killed);
  starting.join();
  daemon_->Signal(SIGCONT);
  EXPECT_THAT(error, HasSubstr("Hook script execution failed"));
  EXPECT_THAT(State(), HasSubstr("shut off"));
  EXPECT_EQ(Start(), "") << daemon_->log();
}

// Another hook, run before ours, holds `started` up meanwhile.
TEST_F(LaunchGateFaultsTest, ADaemonKilledBeforeStartedApprovesNothing) {
  InstallHook();
  Approve({});
  ASSERT_EQ(Inside("mkfifo " + Path("go")).exit_code, 0);
  const std::filesystem::path holding =
      host_->folder() / "host/etc/hooks/qemu.d/aaa";
  std::ofstream(holding) << fmt::format(
      "#!/bin/sh\n[ \"$2\" = started ] || exit 0\n"
      "echo here >{0}/at\nread line <{0}/go\n",
      host_->folder().string());
  std::filesystem::permissions(holding, std::filesystem::perms(0755));
  RestartLibvirtd();
  std::string error;
  std::thread starting([this, &error] { error = Start(); });
  const bool held =
      Eventually([this] { return std::filesystem::exists(Path("at")); });
  EXPECT_TRUE(held);
  daemon_->Signal(SIGKILL);
  daemon_->Wait();
  daemon_->Start();
  EXPECT_TRUE(Eventually(
      [this] { return daemon_->Vmattest({"host-identity"}).exit_code == 0; }));
  if (held) {
    std::ofstream(Path("go")) << "on" << std::endl;
  }
  starting.join();
  EXPECT_THAT(error, HasSubstr("gate-no-prepare")) << daemon_->log();
  EXPECT_THAT(State(), HasSubstr("shut off"));
}

TEST_F(LaunchGateFaultsTest, ARestartedDaemonGoesOnWatching) {
  RunApproved();
  daemon_->Signal(SIGKILL);
  daemon_->Wait();
  // While nobody looks.
  Write("stick", std::string(1u << 20, 's'));
  ASSERT_THAT(host_->Virsh({"attach-disk", "web", Path("stick"), "vdb"}),
              IsOk());
  EXPECT_THAT(State(), HasSubstr("running"));
  daemon_->Start();
  EXPECT_TRUE(Pauses()) << daemon_->log();
  EXPECT_TRUE(SeesInLog("disk[vdb]")) << daemon_->log();
}

TEST_F(LaunchGateFaultsTest, ARestartedDaemonSeesWhatWasWrittenMeanwhile) {
  RunApproved();
  daemon_->Signal(SIGKILL);
  daemon_->Wait();
  std::ofstream(Path("initrd"), std::ios::app) << "evil";
  daemon_->Start();
  EXPECT_TRUE(SeesInLog(Fact("written", Path("initrd")))) << daemon_->log();
  EXPECT_THAT(State(), HasSubstr("running"));
  // Also from then on.
  std::ofstream(Path("vmlinuz"), std::ios::app) << "evil";
  EXPECT_TRUE(SeesInLog(Fact("written", Path("vmlinuz")))) << daemon_->log();
}

TEST_F(LaunchGateFaultsTest, S11_ChangesBehindTheGatesBackPauseTheVm) {
  RunApproved();
  // A copy of the disk.
  Write("copy", std::string(1u << 20, '0'));
  ASSERT_THAT(host_->Virsh({"blockcopy", "web", "vda", "--dest", Path("copy"),
                            "--reuse-external", "--transient-job"}),
              IsOk());
  EXPECT_TRUE(Pauses()) << daemon_->log();
  EXPECT_TRUE(SeesInLog("links down")) << daemon_->log();
  EXPECT_THAT(Live(), HasSubstr("<link state='down'/>"));

  RunAgain();
  Write("other", std::string(1u << 20, 'o'));
  ASSERT_THAT(host_->Virsh({"change-media", "web", "hda", Path("other"),
                            "--update", "--live"}),
              IsOk());
  EXPECT_TRUE(Pauses()) << daemon_->log();

  // Nothing of this is in libvirt's XML.
  RunAgain();
  Write("drive", std::string(1u << 20, 'v'));
  ASSERT_THAT(host_->Virsh({"qemu-monitor-command", "web", "--hmp",
                            "drive_add 0 if=none,id=x,format=raw,file=" +
                                Path("drive")}),
              IsOk());
  EXPECT_TRUE(Pauses()) << daemon_->log();
  EXPECT_TRUE(SeesInLog(Fact("file", Path("drive")))) << daemon_->log();

  RunAgain();
  ASSERT_THAT(host_->Virsh({"qemu-monitor-command", "web", "--hmp",
                            "netdev_add user,id=y"}),
              IsOk());
  EXPECT_TRUE(Pauses()) << daemon_->log();
  EXPECT_TRUE(SeesInLog("custom monitor")) << daemon_->log();
}

TEST_F(LaunchGateFaultsTest, S13_AWriterToAMeasuredFileIsNamed) {
  RunApproved();
  std::ofstream(Path("vmlinuz"), std::ios::app) << "evil";
  EXPECT_TRUE(SeesInLog(Fact("written", Path("vmlinuz")))) << daemon_->log();
  EXPECT_THAT(State(), HasSubstr("running"));
  // QEMU reads this one.
  std::ofstream(Path("medium"), std::ios::app) << "evil";
  EXPECT_TRUE(Pauses()) << daemon_->log();
  EXPECT_TRUE(SeesInLog(Fact("written", Path("medium")))) << daemon_->log();
}

TEST_F(LaunchGateFaultsTest, S13_AKernelOutsideTheStoreDoesNotStart) {
  InstallHook();
  Approve({});
  const std::string before = Slurp(daemon_->config());
  const auto set_store = [this, &before](const std::string& folder) {
    const std::string gate = "  hook_socket:";
    std::string config = before;
    config.insert(config.find(gate), "  store: [" + folder + "]\n");
    std::ofstream(daemon_->config()) << config;
    RestartDaemon();
  };
  set_store(Path("store"));
  EXPECT_THAT(Start(), HasSubstr("gate-store")) << daemon_->log();
  set_store(host_->folder());
  EXPECT_EQ(Start(), "") << daemon_->log();
}

// A backup job, with a file of its own for what the guest writes meanwhile.
TEST_F(LaunchGateFaultsTest, OurOwnLooksIntoARunningDiskAreNoDrift) {
  RunApproved();
  for (int i = 0; i < 3; ++i) {
    const Ran attested = daemon_->Vmattest(
        {"attest", "--vm", "web", "--content", "full", "--inside", "inventory",
         "--fresh", "--out", Path("evidence")});
    EXPECT_EQ(attested.exit_code, 0) << attested.err;
  }
  Write("stick", std::string(1u << 20, 's'));
  ASSERT_THAT(host_->Virsh({"attach-disk", "web", Path("stick"), "vdb"}),
              IsOk());
  EXPECT_TRUE(Pauses()) << daemon_->log();
  EXPECT_TRUE(SeesInLog("leaf=\"disk[vdb]")) << daemon_->log();
  EXPECT_THAT(daemon_->log(), Not(HasSubstr("file=\"")));
}

TEST_F(LaunchGateFaultsTest, AHookOfSomebodyElseIsToldOf) {
  InstallHook();
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->Vmattest({"status"}).out;
  const std::filesystem::path other =
      host_->folder() / "host/etc/hooks/qemu.d/other";
  std::ofstream(other) << "#!/bin/sh\n";
  EXPECT_TRUE(Eventually([this] {
    return daemon_->Vmattest({"status"}).out.find("qemu.d/other is new") !=
           std::string::npos;
  })) << daemon_->Vmattest({"status"}).out;
  std::filesystem::remove(other);
  EXPECT_TRUE(daemon_->AwaitServing()) << daemon_->Vmattest({"status"}).out;
}

}  // namespace
}  // namespace vmattest::testing
