// The launch gate with its verifier on another machine, on real parts: libvirtd
// with vmattest-hook, QEMU, swtpm, vmattestd, and vmattest-verifierd over TLS.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "reference/reference.h"
#include "support/daemon_process.h"
#include "support/idle_kernel.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "support/verifier_site.h"

namespace vmattest {
namespace {

namespace fs = std::filesystem;

using reference::GateMode;
using testing::DaemonProcess;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::IdleKernel;
using testing::IsOk;
using testing::LibvirtHost;
using ::testing::Not;
using testing::Ran;
using testing::RunToEnd;
using testing::Slurp;
using testing::VerifierProcess;

constexpr char kUuid[] = "a045410c-221a-45fb-b0ef-341be7ce6025";
constexpr char kApproved[] = "quiet";
constexpr char kChanged[] = "quiet init=/bin/sh";

class LaunchGateRemoteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("gate-remote"));
    Write("vmlinuz", IdleKernel());
    fs::copy_file("/usr/share/seabios/bios-256k.bin", host_->folder() / "bios");
    site_.StartHost(
        host_->uri(),
        fmt::format("measurement: {{content: full}}\n"
                    "gate:\n"
                    "  enabled: true\n"
                    "  verifier: \"{0}\"\n"
                    "  verifier_keys: [\"{1}\"]\n"
                    "  approvers: {2}\n"
                    "  hook_socket: {3}/hook.sock\n"
                    "  hooks_dir: {3}/host/etc/hooks\n",
                    verifier_->address(), verifier_->result_keys().string(),
                    verifier_->approvers().string(), host_->folder().string()));
    daemon_ = site_.daemon.get();
    ASSERT_TRUE(site_.AwaitEnrolled()) << site_.Logs();
    InstallHook();
    ASSERT_THAT(host_->StopLibvirtd("TERM"), IsOk());
    ASSERT_THAT(host_->StartLibvirtd(), IsOk());
    Define(kApproved);
  }

  bool AwaitTold(const std::function<bool()>& seen) {
    return site_.AwaitTold(seen);
  }
  [[nodiscard]] fs::path gate() const {
    return daemon_->folder() / "state/gate";
  }
  void InstallHook() {
    ASSERT_TRUE(Eventually([this] {
      return fs::exists(gate() / "hook.json") && !HostId().empty();
    })) << daemon_->log();
    const Ran ran = RunToEnd(
        {DaemonProcess::CommandLine(), "hook", "install", "--state-dir",
         (daemon_->folder() / "state").string(), "--hooks-dir",
         (host_->folder() / "host/etc/hooks").string()});
    ASSERT_EQ(ran.exit_code, 0) << ran.err;
  }
  [[nodiscard]] std::string HostId() const {
    const std::string trust = Slurp(gate() / "hook.json");
    const std::string key = "\"host_id\": \"";
    const size_t at = trust.find(key);
    if (at == std::string::npos) {
      return "";
    }
    const size_t begin = at + key.size();
    return trust.substr(begin, trust.find('"', begin) - begin);
  }

  void Write(const std::string& name, const std::string& content) {
    std::ofstream(host_->folder() / name, std::ios::binary) << content;
  }
  void Define(const std::string& cmdline) {
    Write(
        "vm.xml",
        fmt::format("<domain type='qemu'><name>web</name><uuid>{0}</uuid>"
                    "<memory unit='MiB'>16</memory><vcpu>1</vcpu><os>"
                    "<type arch='x86_64' machine='pc'>hvm</type>"
                    "<loader type='rom'>{1}/bios</loader>"
                    "<kernel>{1}/vmlinuz</kernel><cmdline>{2}</cmdline></os>"
                    "<features><acpi/></features><devices>"
                    "<emulator>/usr/bin/qemu-system-x86_64</emulator></devices>"
                    "</domain>",
                    kUuid, host_->folder().string(), cmdline));
    ASSERT_THAT(host_->Virsh({"define", host_->folder() / "vm.xml"}), IsOk());
  }
  // virsh's error; empty if the VM started.
  std::string Start() {
    const auto started = host_->Virsh({"start", "web"});
    return started.ok() ? "" : std::string(started.status().message());
  }
  void Destroy() {
    host_->Virsh({"destroy", "web"}).status().IgnoreError();
    ASSERT_TRUE(Eventually([this] {
      return host_->Virsh({"domstate", "web"}).value_or("").find("shut off") !=
             std::string::npos;
    }));
  }
  std::string StartChanged() {
    Define(kChanged);
    std::string error = Start();
    Define(kApproved);
    return error;
  }
  void Put(reference::Reference reference, GateMode mode, uint64_t revision) {
    reference.mode = mode;
    reference.revision = revision;
    verifier_->PutReference(reference::ToYaml(reference));
  }
  // The VM learns once, and what was learned is signed and put. The host has
  // never sent evidence about it: it asks for the VM that it has.
  // `verdict_seconds`: how long a verdict is kept; 0: as long as usual.
  void Approve(uint32_t verdict_seconds = 0) {
    EXPECT_THAT(Start(), HasSubstr("gate-no-reference"));
    reference::Reference learn;
    learn.name = std::string("vm-") + kUuid;
    learn.vm_uuids = {kUuid};
    learn.content = "full";
    learn.rules = {{.path = "name",
                    .kind = reference::LeafRule::Kind::kAny,
                    .type = {},
                    .values = {}}};
    Put(learn, GateMode::kLearn, 1);
    const fs::path learned =
        gate() / "learned" / (std::string(kUuid) + ".yaml");
    ASSERT_TRUE(AwaitTold([&] {
      if (Start().empty()) {
        Destroy();
      }
      return fs::exists(learned);
    })) << daemon_->log();
    ASSERT_OK_AND_ASSIGN(reference::Reference exact,
                         reference::FromYaml(Slurp(learned)));
    if (verdict_seconds != 0) {
      exact.verdict_seconds = verdict_seconds;
    }
    Put(exact, GateMode::kEnforce, 2);
    ASSERT_TRUE(AwaitTold([this] { return !StartChangedAllowed(); }))
        << daemon_->log();
  }
  bool StartChangedAllowed() {
    const bool allowed = StartChanged().empty();
    Destroy();
    return allowed;
  }
  std::string Decisions() {
    return verifier_->Vmattest({"decisions", "list", "--vm", kUuid}).out;
  }

  testing::VerifierSite site_;
  VerifierProcess* const verifier_ = &site_.verifier;
  DaemonProcess* daemon_ = nullptr;
  std::unique_ptr<LibvirtHost> host_;
};

TEST_F(LaunchGateRemoteTest, StartsByARemoteVerdictWhichOutlivesTheVerifier) {
  Approve();
  EXPECT_EQ(Start(), "") << daemon_->log();
  EXPECT_THAT(Decisions(), HasSubstr("trusted"));
  Destroy();
  const std::string refused = StartChanged();
  EXPECT_THAT(refused, HasSubstr("os/cmdline"));
  EXPECT_THAT(refused, HasSubstr("gate-refused"));

  verifier_->Kill();
  EXPECT_EQ(Start(), "") << daemon_->log();
  Destroy();
  EXPECT_THAT(StartChanged(), HasSubstr("[gate-verifier]")) << daemon_->log();
  EXPECT_TRUE(AwaitTold([this] {
    return daemon_->Vmattest({"status"}).out.find("asking for policy") !=
           std::string::npos;
  })) << daemon_->Vmattest({"status"}).out;
  // Nor does a restart of the daemon take away what it keeps.
  daemon_->Stop();
  daemon_->Start();
  std::string error;
  EXPECT_TRUE(Eventually([this, &error] { return (error = Start()).empty(); }))
      << error << daemon_->log();
  Destroy();

  verifier_->Start();
  const Ran revoked =
      verifier_->Vmattest({"hosts", "revoke", HostId(), "--reason", "sold"});
  ASSERT_EQ(revoked.exit_code, 0) << revoked.err;
  verifier_->Kill();
  verifier_->Start();
  // The new epoch voids the kept verdict, and there is no other.
  EXPECT_TRUE(AwaitTold([this, &error] {
    error = Start();
    if (error.empty()) {
      Destroy();
    }
    return !error.empty();
  })) << daemon_->log();
  EXPECT_THAT(error, HasSubstr("[gate-verifier]"));
  EXPECT_THAT(error, HasSubstr("revoked"));
  EXPECT_THAT(daemon_->Vmattest({"status"}).out, HasSubstr("revoked"));
}

TEST_F(LaunchGateRemoteTest,
       AKeptVerdictRunsOutAndNothingStartsWithoutAnother) {
  Approve(/*verdict_seconds=*/1);
  EXPECT_EQ(Start(), "") << daemon_->log();
  Destroy();
  // Killed while it is asked.
  Define(kChanged);
  verifier_->Signal(SIGSTOP);
  std::string error;
  std::thread starting([this, &error] { error = Start(); });
  EXPECT_TRUE(Eventually([] {
    return RunToEnd({"pgrep", "-f", "qemu.d/vmattest"}).exit_code == 0;
  }));
  verifier_->Kill();
  starting.join();
  EXPECT_THAT(error, HasSubstr("[gate-verifier]")) << daemon_->log();
  EXPECT_THAT(host_->Virsh({"domstate", "web"}).value_or(""),
              HasSubstr("shut off"));
  Define(kApproved);

  EXPECT_TRUE(Eventually([this, &error] {
    error = Start();
    if (error.empty()) {
      Destroy();
    }
    return !error.empty();
  }));
  EXPECT_THAT(error, HasSubstr("[gate-verifier]"));
  verifier_->Start();
  EXPECT_TRUE(Eventually([this, &error] { return (error = Start()).empty(); }))
      << error << daemon_->log();
}

TEST_F(LaunchGateRemoteTest, AResultOfAnotherKeyThanThePinnedOneStartsNothing) {
  Approve();
  verifier_->Kill();
  fs::remove(verifier_->state() / "result-key.pem");
  const std::string pinned = Slurp(verifier_->result_keys());
  verifier_->Start();
  ASSERT_NE(Slurp(verifier_->result_keys()), pinned);
  std::ofstream(verifier_->result_keys()) << pinned;
  daemon_->Stop();
  fs::remove_all(gate() / "verdicts");
  daemon_->Start();
  std::string error;
  ASSERT_TRUE(Eventually([this, &error] {
    return (error = Start()).find("gate-verdict") != std::string::npos;
  })) << error;
  EXPECT_THAT(error, HasSubstr("header.kid"));

  const std::string trusted = Slurp(gate() / "hook.json");
  // A daemon that believes the new key does not make the hook believe it.
  verifier_->Kill();
  verifier_->Start();
  daemon_->Stop();
  daemon_->Start();
  ASSERT_TRUE(Eventually([this, &error] {
    return (error = Start()).find("[token-") != std::string::npos;
  })) << error;
  EXPECT_THAT(error, HasSubstr("vmattest: "));
  EXPECT_THAT(daemon_->log(), HasSubstr("verdict"));
  ASSERT_TRUE(AwaitTold(
      [this, &trusted] { return Slurp(gate() / "hook.json") != trusted; }));
  InstallHook();
  EXPECT_EQ(Start(), "") << daemon_->log();
}

TEST_F(LaunchGateRemoteTest, ResultKeysAreExchangedWhileVmsStart) {
  Approve();
  ASSERT_EQ(Start(), "") << daemon_->log();
  Destroy();
  const auto step = [this](const char* name) {
    const Ran ran = verifier_->Vmattest({"result-keys", name});
    EXPECT_EQ(ran.exit_code, 0) << name << ran.err;
    return ran.out;
  };
  EXPECT_EQ(verifier_->Vmattest({"result-keys", "activate"}).exit_code, 3);
  EXPECT_THAT(step("prepare"), HasSubstr("next"));
  // Published, in the file that is pinned here, too.
  const std::string before = Slurp(gate() / "hook.json");
  ASSERT_TRUE(AwaitTold([this, &before] {
    return Slurp(gate() / "hook.json") != before;
  })) << daemon_->log();
  InstallHook();
  EXPECT_THAT(step("activate"), HasSubstr("old"));
  // What the old one signed still counts, and is kept.
  EXPECT_EQ(Start(), "") << daemon_->log();
  Destroy();
  // Asks anew, and gets a result of the new one.
  daemon_->Stop();
  fs::remove_all(gate() / "verdicts");
  daemon_->Start();
  std::string error;
  EXPECT_TRUE(Eventually([this, &error] { return (error = Start()).empty(); }))
      << error << daemon_->log();
  Destroy();
  EXPECT_THAT(step("retire"), Not(HasSubstr("old")));
  EXPECT_EQ(verifier_->Vmattest({"result-keys", "retire"}).exit_code, 3);
  // The next start of the verifier goes on with the same key.
  const std::string after = step("list");
  verifier_->Kill();
  verifier_->Start();
  EXPECT_EQ(step("list"), after);
  EXPECT_EQ(Start(), "") << daemon_->log();
}

TEST_F(LaunchGateRemoteTest, ABreakGlassOrderComesByTheVerifier) {
  EXPECT_THAT(Start(), HasSubstr("gate-no-reference"));
  const std::string order = host_->folder() / "order";
  const Ran made =
      RunToEnd({DaemonProcess::CommandLine(), "break-glass", "--vm", kUuid,
                "--host-id", HostId(), "--reason", "the disk must be saved",
                "--key", verifier_->approver().string(), "--out", order});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Ran put = verifier_->Vmattest({"orders", "put", order});
  ASSERT_EQ(put.exit_code, 0) << put.err;
  EXPECT_EQ(verifier_->Vmattest({"orders", "put", order}).exit_code, 3);
  ASSERT_TRUE(AwaitTold([this] { return Start().empty(); })) << daemon_->log();
  EXPECT_THAT(daemon_->log(), HasSubstr("glass was broken"));
  Destroy();
  // Used up, though the verifier still sends it.
  daemon_->Stop();
  daemon_->Start();
  std::string error;
  EXPECT_TRUE(AwaitTold([this, &error] {
    return (error = Start()).find("gate-no-reference") != std::string::npos;
  })) << error;
}

}  // namespace
}  // namespace vmattest
