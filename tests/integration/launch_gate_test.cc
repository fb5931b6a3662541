// The launch gate on real parts: libvirtd with vmattest-hook, QEMU, swtpm,
// vmattestd with its embedded verifier.
#include <csignal>
#include <thread>

#include "integration/launch_gate_bed.h"
#include "support/tpm_proxy.h"

namespace vmattest {
namespace {

using reference::GateMode;
using testing::DaemonProcess;
using testing::GateVm;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::kGateVmUuid;
using testing::Slurp;

class LaunchGateTest : public testing::LaunchGateBed {};

TEST_F(LaunchGateTest, OnlyWhatWasApprovedStarts) {
  InstallHook();
  const GateVm approved;
  Approve(approved);
  EXPECT_EQ(Start(), "") << daemon_->log();
  EXPECT_THAT(State(), HasSubstr("running"));
  Destroy();

  const auto refuse = [this](const GateVm& vm, const char* leaf) {
    Define(vm);
    const std::string error = Start();
    EXPECT_THAT(error, HasSubstr(leaf)) << daemon_->log();
    EXPECT_THAT(error, HasSubstr("gate-refused"));
    EXPECT_THAT(State(), HasSubstr("shut off"));
  };
  GateVm vm;
  vm.cmdline = "quiet init=/bin/sh";
  refuse(vm, "os/cmdline");
  vm = {};
  vm.mac = "52:54:00:00:00:02";
  refuse(vm, "mac/address");
  vm = {};
  vm.devices =
      "<hostdev mode='subsystem' type='usb' managed='no'><source "
      "startupPolicy='optional'><vendor id='0x1234'/><product id='0x5678'/>"
      "</source></hostdev>";
  refuse(vm, "hostdev");
  vm = {};
  vm.attributes = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";
  vm.end = "<qemu:commandline><qemu:arg value='-snapshot'/></qemu:commandline>";
  refuse(vm, "commandline");
  const auto refuse_bytes = [&](const char* file, const char* leaf) {
    const std::string before = Slurp(host_->folder() / file);
    std::string changed = before;
    changed[changed.size() - 7] ^= 1;
    Write(file, changed);
    refuse(approved, leaf);
    Write(file, before);
  };
  refuse_bytes("initrd", "os/initrd/content");
  refuse_bytes("vmlinuz", "os/kernel/content");
  refuse_bytes("bios", "os/loader/content");
  refuse_bytes("disk", "disk[vda]");

  Define(approved);
  EXPECT_EQ(Start(), "") << daemon_->log();
}

TEST_F(LaunchGateTest, FaultsRefuseStartsAndLeaveWhatRunsAlone) {
  InstallHook();
  const GateVm approved;
  Approve(approved);
  Define({.name = "stranger",
          .uuid = "a045410c-221a-45fb-b0ef-341be7ce6026",
          .mac = "52:54:00:00:00:09"});
  EXPECT_THAT(Start("stranger"), HasSubstr("gate-no-reference"));
  EXPECT_EQ(Start(), "") << daemon_->log();

  // libvirtd comes back to a VM that runs: it goes on running.
  RestartLibvirtd();
  EXPECT_THAT(State(), HasSubstr("running"));
  // So it does when the daemon dies, and libvirtd after it.
  daemon_->Signal(SIGKILL);
  daemon_->Wait();
  RestartLibvirtd();
  EXPECT_THAT(State(), HasSubstr("running"));
  Destroy();
  EXPECT_THAT(Start(), HasSubstr("gate-daemon-down"));
  EXPECT_THAT(State(), HasSubstr("shut off"));

  // Back again: the kept verdict holds, and libvirt is seen to call.
  daemon_->Start();
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  EXPECT_EQ(Start(), "") << daemon_->log();
  Destroy();
  // One that says nothing until the deadline.
  Configure("deadline_ms: 5000");
  RestartDaemon();
  ASSERT_TRUE(testing::Eventually([this] {
    return Slurp(daemon_->folder() / "state/gate/hook.json").find(": 6000") !=
           std::string::npos;
  }));
  ASSERT_EQ(Hook("install").exit_code, 0);
  daemon_->Signal(SIGSTOP);
  EXPECT_THAT(Start(), HasSubstr("did not answer in time [gate-timeout]"));
  daemon_->Signal(SIGCONT);
  EXPECT_THAT(State(), HasSubstr("shut off"));
  EXPECT_EQ(Start(), "") << daemon_->log();
  Destroy();
  // Without a TPM nothing starts.
  tpm_.Kill();
  EXPECT_THAT(Start(), HasSubstr("gate-t")) << daemon_->log();
}

TEST_F(LaunchGateTest, ADaemonKilledWhileItDecidesStartsNothing) {
  InstallHook();
  Approve({});
  daemon_->Signal(SIGSTOP);
  std::string error;
  std::thread starting([this, &error] { error = Start(); });
  // The hook's connection waits in the stopped daemon's backlog.
  const bool waits = testing::Eventually([this] {
    const testing::Ran hooks =
        testing::RunToEnd({"pgrep", "-f", "qemu.d/vmattest"});
    return hooks.exit_code == 0;
  });
  EXPECT_TRUE(waits);
  daemon_->Signal(SIGKILL);
  daemon_->Wait();
  starting.join();
  EXPECT_THAT(error, HasSubstr("gate-daemon-down"));
  EXPECT_THAT(State(), HasSubstr("shut off"));
}

// All at once, through the real hook: each gets its own right verdict, by one
// quote for many.
TEST_F(LaunchGateTest, TwoHundredCallsAtOnceEachGetTheirOwnVerdict) {
  InstallHook();
  reference::Reference all;
  all.name = "all";
  all.vm_uuids = {"*"};
  all.content = "none";
  all.accept_other_leaves = true;
  all.rules = {{.path = "os/cmdline",
                .kind = reference::LeafRule::Kind::kEqual,
                .type = {},
                .values = {"quiet"}}};
  Sign(all, GateMode::kEnforce, 1);
  RestartDaemon();
  constexpr int kCalls = 200;
  for (int i = 0; i < kCalls; ++i) {
    GateVm vm;
    vm.name = fmt::format("vm{}", i);
    vm.uuid = fmt::format("a045410c-221a-45fb-b0ef-{:012d}", i);
    vm.cmdline = i % 2 == 0 ? "quiet" : "init=/bin/sh";
    Write(vm.name + ".call", Xml(vm));
  }
  const testing::Ran ran = testing::RunToEnd(
      {"sh", "-c",
       fmt::format("cd {}; for i in $(seq 0 {}); do "
                   "(host/etc/hooks/qemu.d/vmattest vm$i prepare begin - "
                   "<vm$i.call 2>vm$i.err; echo $? >vm$i.rc) & done; wait",
                   host_->folder().string(), kCalls - 1)});
  ASSERT_EQ(ran.exit_code, 0);
  int wrong = 0;
  for (int i = 0; i < kCalls; ++i) {
    const std::string code = Slurp(host_->folder() / fmt::format("vm{}.rc", i));
    const std::string error =
        Slurp(host_->folder() / fmt::format("vm{}.err", i));
    const bool right = i % 2 == 0 ? code == "0\n"
                                  : code == "1\n" && error.find("os/cmdline") !=
                                                         std::string::npos;
    if (!right && ++wrong == 1) {
      ADD_FAILURE() << i << ": " << code << error;
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(LaunchGateTest, AHookThatLibvirtDoesNotKnowIsAnAlarm) {
  ASSERT_TRUE(StatusSays("hook install")) << daemon_->log();
  // Put in, but libvirtd is not told.
  ASSERT_TRUE(
      testing::Eventually([this] { return Hook("install").exit_code == 0; }));
  Define({});
  EXPECT_EQ(Start(), "");
  EXPECT_TRUE(StatusSays("restart libvirtd"))
      << daemon_->Vmattest({"status"}).out;
  EXPECT_TRUE(testing::Eventually([this] {
    return daemon_->log().find("started without the launch gate") !=
           std::string::npos;
  })) << daemon_->log();
  Destroy();

  RestartLibvirtd();
  EXPECT_THAT(Start(), HasSubstr("gate-no-reference"));
}

TEST_F(LaunchGateTest, AHookThatIsTakenAwayIsAnAlarm) {
  InstallHook();
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->Vmattest({"status"}).out;
  const std::filesystem::path hook =
      host_->folder() / "host/etc/hooks/qemu.d/vmattest";
  std::filesystem::permissions(hook, std::filesystem::perms(0644));
  EXPECT_TRUE(StatusSays("is not executable"))
      << daemon_->Vmattest({"status"}).out;
  EXPECT_NE(daemon_->Vmattest({"status"}).exit_code, 0);
  // Changed since libvirtd started: whether it calls it is not known.
  std::filesystem::permissions(hook, std::filesystem::perms(0755));
  EXPECT_TRUE(StatusSays("restart libvirtd"))
      << daemon_->Vmattest({"status"}).out;
  std::filesystem::remove(hook);
  EXPECT_TRUE(StatusSays("is missing")) << daemon_->Vmattest({"status"}).out;
}

TEST_F(LaunchGateTest, EachVmHasItsModeAndTheOthersTheHostsDefault) {
  InstallHook();
  Approve({});
  const GateVm stranger = {.name = "stranger",
                           .uuid = "a045410c-221a-45fb-b0ef-341be7ce6026",
                           .mac = "52:54:00:00:00:09"};
  Define(stranger);
  GateVm changed;
  changed.cmdline = "quiet init=/bin/sh";
  Define(changed);
  EXPECT_THAT(Start("stranger"), HasSubstr("gate-no-reference"));

  Configure("default_mode: warn");
  RestartDaemon();
  EXPECT_EQ(Start("stranger"), "") << daemon_->log();
  EXPECT_THAT(daemon_->log(), HasSubstr("basis=\"warn\""));
  Destroy("stranger");
  // Its own reference says enforce.
  EXPECT_THAT(Start(), HasSubstr("gate-refused"));
  EXPECT_THAT(State(), HasSubstr("shut off"));

  reference::Reference warned =
      *reference::FromYaml(Slurp(daemon_->folder() / "state/gate/learned" /
                                 (std::string(kGateVmUuid) + ".yaml")));
  Sign(warned, GateMode::kWarn, 3);
  RestartDaemon();
  EXPECT_EQ(Start(), "") << daemon_->log();
  EXPECT_THAT(daemon_->log(), HasSubstr("gate-refused"));
}

TEST_F(LaunchGateTest, ABreakGlassOrderStartsAVmOnce) {
  InstallHook();
  Define({});
  EXPECT_THAT(Start(), HasSubstr("gate-no-reference"));
  const std::string key = host_->folder() / "approver.key";
  ASSERT_THAT(
      WriteFileAtomic(key, approver_.ToFile().Reveal(SecretAccess()), 0600),
      IsOk());
  const std::string trust = Slurp(daemon_->folder() / "state/gate/hook.json");
  const std::string host_id =
      trust.substr(trust.find("\"host_id\": \"") + 12, 64);
  const testing::Ran ran = testing::RunToEnd(
      {DaemonProcess::CommandLine(), "break-glass", "--vm", kGateVmUuid,
       "--host-id", host_id, "--reason", "the disk must be saved", "--key", key,
       "--out", (daemon_->folder() / "state/gate/break-glass/order").string()});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(Start(), "") << daemon_->log();
  EXPECT_THAT(daemon_->log(), HasSubstr("glass was broken"));
  Destroy();
  EXPECT_THAT(Start(), HasSubstr("gate-no-reference"));
}

TEST_F(LaunchGateTest, ADevicePluggedInBehindTheGatesBackPausesTheVm) {
  InstallHook();
  Approve({});
  ASSERT_EQ(Start(), "") << daemon_->log();
  Write("stick", std::string(1u << 20, 's'));
  ASSERT_THAT(host_->Virsh({"attach-disk", "web",
                            (host_->folder() / "stick").string(), "vdb"}),
              IsOk());
  EXPECT_TRUE(testing::Eventually([this] {
    return State().find("paused") != std::string::npos;
  })) << daemon_->log();
  // It is paused first.
  EXPECT_TRUE(testing::Eventually([this] {
    return daemon_->log().find("not what was approved") != std::string::npos;
  })) << daemon_->log();
}

// Rule S13, strict mode: nothing of the VM ran when it is compared.
TEST_F(LaunchGateTest, S13_AStrictVmStartsPausedAndIsLookedAtBeforeItRuns) {
  InstallHook();
  const GateVm approved;
  Approve(approved,
          [](reference::Reference& change) { change.strict_start = true; });
  EXPECT_THAT(Start(), HasSubstr("vmattest start --vm"));
  EXPECT_THAT(host_->Virsh({"start", "web", "--paused"}).status().message(),
              HasSubstr("gate-strict"));
  EXPECT_THAT(State(), HasSubstr("shut off"));

  const auto start = [this] {
    return daemon_->Vmattest({"start", "--vm", "web"});
  };
  testing::Ran ran = start();
  EXPECT_EQ(ran.exit_code, 0) << ran.err << daemon_->log();
  EXPECT_THAT(ran.out, HasSubstr("runs as approved"));
  EXPECT_THAT(State(), HasSubstr("running"));
  Destroy();

  GateVm other;
  other.cmdline = "quiet init=/bin/sh";
  Define(other);
  ran = start();
  EXPECT_EQ(ran.exit_code, 1) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("os/cmdline"));
  EXPECT_THAT(State(), HasSubstr("shut off"));

  // Another program that swaps a file once our hook has looked at it.
  Define(approved);
  const std::filesystem::path swap =
      host_->folder() / "host/etc/hooks/qemu.d/zz-swap";
  Write("other-initrd", std::string(8192, 'x'));
  std::ofstream(swap) << fmt::format(
      "#!/bin/sh\n[ \"$2\" = started ] && mv {0}/other-initrd {0}/initrd\n"
      "exit 0\n",
      host_->folder().string());
  std::filesystem::permissions(swap, std::filesystem::perms::owner_all);
  ran = start();
  EXPECT_EQ(ran.exit_code, 1) << ran.err << daemon_->log();
  EXPECT_THAT(ran.err, HasSubstr("initrd"));
  EXPECT_THAT(ran.err, HasSubstr("gate-file-swapped"));
  EXPECT_THAT(State(), HasSubstr("shut off"));
  EXPECT_THAT(daemon_->log(), HasSubstr("started paused is not what"));
}

// What the TPM is asked for is counted on the way to it.
class LaunchGateTpmTest : public testing::LaunchGateBed {
 protected:
  [[nodiscard]] std::string Tcti() const override { return proxy_.tcti(); }
  testing::TpmProxy proxy_{tpm_.socket()};
};

TEST_F(LaunchGateTpmTest, AKeptVerdictCostsNoSignatureOfTheTpm) {
  InstallHook();
  Approve({});
  int signatures = proxy_.Count(testing::kTpmCcQuote);
  ASSERT_EQ(Start(), "") << daemon_->log();
  Destroy();
  EXPECT_GT(proxy_.Count(testing::kTpmCcQuote), signatures);

  signatures = proxy_.Count(testing::kTpmCcQuote);
  const int clocks = proxy_.Count(testing::kTpmCcReadClock);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Start(), "") << daemon_->log();
    Destroy();
  }
  EXPECT_EQ(proxy_.Count(testing::kTpmCcQuote), signatures);
  EXPECT_GE(proxy_.Count(testing::kTpmCcReadClock), clocks + 3);

  // Anything else needs a new one, and with it a new signature.
  GateVm other;
  other.cmdline = "quiet init=/bin/sh";
  Define(other);
  EXPECT_THAT(Start(), HasSubstr("gate-refused"));
  EXPECT_GT(proxy_.Count(testing::kTpmCcQuote), signatures);
}

}  // namespace
}  // namespace vmattest
