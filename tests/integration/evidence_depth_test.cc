// What lies deeper than the configuration, on real parts: packages inside
// images, post-quantum signatures, the host event log, key epochs, disclosed
// leaves, VMs beside libvirt, and processes that die.
#include <csignal>
#include <fstream>
#include <regex>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/daemon_process.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/package_disk.h"
#include "support/run_command.h"
#include "support/swtpm.h"
#include "support/vectors.h"
#include "unit/kvm/emulator.h"

namespace vmattest {
namespace {

using testing::DaemonProcess;
using testing::Emulator;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::LibvirtHost;
using testing::MakePackageDisk;
using ::testing::Not;
using testing::Ran;
using testing::RunCommand;
using testing::RunToEnd;
using testing::Slurp;
using testing::Swtpm;

constexpr std::chrono::seconds kPatience{60};
constexpr char kBash[] = "disk[vda]/inside/partition[1]/package[bash:amd64]";

class EvidenceDepthTest : public ::testing::Test {
 protected:
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("depth"));
    daemon_ = std::make_unique<DaemonProcess>(DaemonProcess::Options{
        .libvirt_uri = host_->uri(),
        .tcti = tpm_.tcti(),
        .more = fmt::format("kvm: {{libvirt_run_dir: {}/run/qemu}}\n",
                            host_->folder().string())});
    ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
    std::filesystem::create_directory(Path("anchors"));
    Pin();
  }

  // A guest without a system, so that it starts at once.
  void Define(const std::vector<std::string>& more) {
    std::vector<std::string> options = {"mem=16", "kernel=none"};
    options.insert(options.end(), more.begin(), more.end());
    ASSERT_OK_AND_ASSIGN(const auto xml, host_->MakeDomain("web", options));
    ASSERT_THAT(host_->Virsh({"define", xml}), IsOk());
  }
  std::string MakeDisk(const std::string& bash_version) {
    EXPECT_THAT(MakePackageDisk(host_->folder(), bash_version), IsOk());
    return (host_->folder() / "disk.qcow2").string() + ":qcow2";
  }

  void Pin() {
    ASSERT_EQ(Vmattest({"host-identity", "--out", Path("anchors/host.json")}),
              0);
  }
  int Vmattest(const std::vector<std::string>& words) {
    const Ran ran = daemon_->Vmattest(words);
    out_ = ran.out;
    EXPECT_EQ(ran.exit_code, 0) << ran.err << daemon_->log();
    return ran.exit_code;
  }
  void Attest(const std::string& file, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"attest", "--vm", "web", "--out",
                                      Path(file)};
    words.insert(words.end(), more.begin(), more.end());
    Vmattest(words);
  }
  int Verify(const std::string& file, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {DaemonProcess::CommandLine(), "verify",
                                      Path(file), "--anchors", Path("anchors")};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = RunToEnd(words);
    out_ = ran.out + ran.err;
    return ran.exit_code;
  }
  int VerifyLog(const std::string& file) {
    const Ran ran =
        RunToEnd({DaemonProcess::CommandLine(), "eventlog", "verify",
                  Path(file), "--anchors", Path("anchors")});
    out_ = ran.out + ran.err;
    return ran.exit_code;
  }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return daemon_->folder() / name;
  }

  Swtpm tpm_;
  std::unique_ptr<LibvirtHost> host_;
  std::unique_ptr<DaemonProcess> daemon_;
  std::string out_;  // of the last command
};

TEST_F(EvidenceDepthTest, NamesAPackageThatChangedInsideAnImage) {
  Define({"disk=" + MakeDisk("5.2.15-2")});
  Attest("before", {"--inside", "inventory"});
  EXPECT_EQ(Verify("before", {"--require", "ml-dsa-65"}), 0) << out_;
  EXPECT_THAT(out_, HasSubstr("\"ml-dsa-65\" verified"));
  MakeDisk("5.2.15-3");
  Attest("after", {"--inside", "inventory"});
  EXPECT_EQ(Verify("after", {"--expect", Path("before")}), 1);
  EXPECT_THAT(out_, HasSubstr(kBash));
  EXPECT_THAT(out_, HasSubstr("5.2.15-2"));
  EXPECT_THAT(out_, HasSubstr("5.2.15-3"));
  EXPECT_THAT(out_, Not(HasSubstr("zlib1g")));
}

TEST_F(EvidenceDepthTest, LooksIntoTheDiskOfARunningVm) {
  Define({"disk=" + MakeDisk("5.2.15-2")});
  Attest("stopped", {"--inside", "full"});
  ASSERT_THAT(host_->Virsh({"start", "web"}), IsOk());
  Attest("running", {"--inside", "full"});
  EXPECT_EQ(Verify("running", {"--expect", Path("stopped")}), 0) << out_;
}

TEST_F(EvidenceDepthTest, S1_TheEventLogOfTenLaunchesReplays) {
  Define({});
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(host_->Virsh({"start", "web"}), IsOk());
    ASSERT_THAT(host_->Virsh({"destroy", "web"}), IsOk());
  }
  std::string shown;
  const auto starts = [&] {
    Vmattest({"eventlog", "export", "--out", Path("log.json")});
    const Ran ran = RunToEnd(
        {DaemonProcess::CommandLine(), "eventlog", "show", Path("log.json")});
    shown = ran.out;
    const std::regex started("vm-stopped");
    return std::distance(
        std::sregex_iterator(shown.begin(), shown.end(), started),
        std::sregex_iterator());
  };
  ASSERT_TRUE(Eventually([&] { return starts() == 10; }, kPatience)) << shown;
  EXPECT_EQ(VerifyLog("log.json"), 0) << out_;

  std::vector<std::string> lines;
  std::ifstream file(Path("log.json"));
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
  }
  const auto record = [&lines](int number) {
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].find(fmt::format("\"recnum\":{},", number)) !=
          std::string::npos) {
        return i;
      }
    }
    return size_t{0};
  };
  const auto write = [this](const std::vector<std::string>& changed) {
    std::ofstream out(Path("changed.json"));
    for (const std::string& line : changed) {
      out << line << "\n";
    }
  };
  ASSERT_GT(record(6), 0u);
  std::vector<std::string> removed = lines;
  removed.erase(removed.begin() + static_cast<ptrdiff_t>(record(6)));
  write(removed);
  EXPECT_EQ(VerifyLog("changed.json"), 1);
  EXPECT_THAT(out_, HasSubstr("eventlog-record-missing"));
  std::vector<std::string> swapped = lines;
  std::swap(swapped[record(6)], swapped[record(7)]);
  write(swapped);
  EXPECT_EQ(VerifyLog("changed.json"), 1);
  EXPECT_THAT(out_, HasSubstr("record"));
}

TEST_F(EvidenceDepthTest, S1_WhatHappenedWhileTheDaemonWasAwayIsInTheLog) {
  Define({});
  daemon_->Signal(SIGKILL);
  daemon_->Wait();
  ASSERT_THAT(host_->Virsh({"start", "web"}), IsOk());
  daemon_->Start();
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  const auto reconciled = [&] {
    Vmattest({"eventlog", "export", "--out", Path("log.json")});
    return Slurp(Path("log.json")).find("vm-reconciled") != std::string::npos;
  };
  EXPECT_TRUE(Eventually(reconciled, kPatience)) << daemon_->log();
  EXPECT_THAT(Slurp(Path("log.json")), HasSubstr("\"closed\":\"false\""));
  EXPECT_EQ(VerifyLog("log.json"), 0) << out_;
}

TEST_F(EvidenceDepthTest, OldEvidenceOutlivesARotationAndNotARevocation) {
  Define({});
  Attest("old");
  Vmattest({"keys", "rotate", "config"});
  EXPECT_THAT(out_, HasSubstr("epoch 2"));
  Attest("new");
  Pin();
  EXPECT_EQ(Verify("old"), 0) << out_;
  EXPECT_EQ(Verify("new", {"--require", "ml-dsa-65"}), 0) << out_;
  Vmattest({"keys", "revoke", "config", "1"});
  Pin();
  EXPECT_EQ(Verify("old"), 1);
  EXPECT_THAT(out_, HasSubstr("key-revoked"));
  EXPECT_EQ(Verify("new"), 0) << out_;
}

TEST_F(EvidenceDepthTest, DisclosesOneLeafWithoutTheOthers) {
  Define({});
  Vmattest({"disclose", "--vm", "web", "--leaf", "memory/max", "--out",
            Path("leaf")});
  EXPECT_EQ(Verify("leaf"), 0) << out_;
  EXPECT_THAT(out_, HasSubstr("memory/max"));
  EXPECT_THAT(Slurp(Path("leaf")), Not(HasSubstr("cpu/count")));
}

TEST_F(EvidenceDepthTest, S19_AVmBesideLibvirtIsSeenLoggedAndCounted) {
  Define({});
  const Emulator emulator;
  const std::string pid = fmt::format("pid {} ", emulator.pid());
  EXPECT_TRUE(Eventually(
      [&] {
        Vmattest({"list"});
        return out_.find(pid) != std::string::npos;
      },
      kPatience))
      << out_;
  EXPECT_THAT(out_, HasSubstr("UNMANAGED"));
  Attest("evidence");
  EXPECT_EQ(Verify("evidence", {"--max-unmanaged", "0"}), 1);
  EXPECT_THAT(out_, HasSubstr("unmanaged-vms"));
}

TEST_F(EvidenceDepthTest, S25_ASignerThatIsKilledIsStartedAgain) {
  Define({});
  Attest("before");
  ASSERT_THAT(
      RunCommand({"pkill", "-KILL", "-P", std::to_string(daemon_->pid()), "-f",
                  "vmattest-signer"}),
      IsOk());
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  Attest("after");
  EXPECT_EQ(Verify("after", {"--require", "ml-dsa-65"}), 0) << out_;
}

}  // namespace
}  // namespace vmattest
