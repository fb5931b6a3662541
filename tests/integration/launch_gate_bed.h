#ifndef VMATTEST_TESTS_INTEGRATION_LAUNCH_GATE_BED_H_
#define VMATTEST_TESTS_INTEGRATION_LAUNCH_GATE_BED_H_

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "document/document.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "reference/reference.h"
#include "support/daemon_process.h"
#include "support/idle_kernel.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/vectors.h"

namespace vmattest::testing {

inline constexpr char kGateVmUuid[] = "a045410c-221a-45fb-b0ef-341be7ce6025";

struct GateVm {
  std::string name = "web";
  std::string uuid = kGateVmUuid;
  std::string cmdline = "quiet";
  std::string mac = "52:54:00:00:00:01";
  std::string disk = "disk";
  std::string devices;
  std::string end;
  std::string attributes;
  std::string disk_format = "raw";
};

// libvirtd with vmattest-hook, QEMU, swtpm, vmattestd with its embedded
// verifier, and an approver.
class LaunchGateBed : public ::testing::Test {
 protected:
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("gate"));
    for (const char* folder : {"approvers", "references"}) {
      std::filesystem::create_directories(host_->folder() / folder);
    }
    Write("vmlinuz", IdleKernel());
    Write("initrd", std::string(8192, 'i'));
    Write("disk", std::string(1u << 20, 'd'));
    std::filesystem::copy_file("/usr/share/seabios/bios-256k.bin",
                               host_->folder() / "bios");
    Write("approvers/a.pub", document::PublicKeyToJson(approver_.public_key()));
    daemon_ = std::make_unique<DaemonProcess>(DaemonProcess::Options{
        .libvirt_uri = host_->uri(),
        .tcti = Tcti(),
        .more = fmt::format("measurement: {{content: full}}\n"
                            "gate:\n"
                            "  enabled: true\n"
                            "  hook_socket: {0}/hook.sock\n"
                            "  approvers: {0}/approvers\n"
                            "  references: {0}/references\n"
                            "  hooks_dir: {0}/host/etc/hooks\n",
                            host_->folder().string())});
  }
  [[nodiscard]] virtual std::string Tcti() const { return tpm_.tcti(); }
  // A line of `gate:`, for the next daemon.
  void Configure(const std::string& line) {
    std::string config = Slurp(daemon_->config());
    config.insert(config.find("  hook_socket:"), "  " + line + "\n");
    std::ofstream(daemon_->config()) << config;
  }
  void InstallHook() {
    const std::filesystem::path trust =
        daemon_->folder() / "state/gate/hook.json";
    ASSERT_TRUE(Eventually([&trust] {
      return std::filesystem::exists(trust) &&
             Slurp(trust).find("host_id") != std::string::npos;
    })) << daemon_->log();
    const Ran ran = Hook("install");
    ASSERT_EQ(ran.exit_code, 0) << ran.err;
    RestartLibvirtd();
    EXPECT_EQ(Hook("status").exit_code, 0);
  }
  Ran Hook(const std::string& verb) {
    return RunToEnd({DaemonProcess::CommandLine(), "hook", verb, "--state-dir",
                     (daemon_->folder() / "state").string(), "--hooks-dir",
                     (host_->folder() / "host/etc/hooks").string()});
  }
  void RestartLibvirtd() {
    ASSERT_THAT(host_->StopLibvirtd("TERM"), IsOk());
    ASSERT_THAT(host_->StartLibvirtd(), IsOk());
  }
  void RestartDaemon() {
    daemon_->Stop();
    daemon_->Start();
    ASSERT_TRUE(Eventually([this] {
      return daemon_->Vmattest({"call", "get-host-identity"}).exit_code == 0 ||
             daemon_->Vmattest({"host-identity"}).exit_code == 0;
    })) << daemon_->log();
  }

  void Write(const std::string& name, const std::string& content) {
    std::ofstream(host_->folder() / name, std::ios::binary) << content;
  }
  std::string Xml(const GateVm& vm) {
    return fmt::format(
        "<domain type='qemu'{7}><name>{0}</name><uuid>{1}</uuid>"
        "<memory unit='MiB'>16</memory><vcpu>1</vcpu><os>"
        "<type arch='x86_64' machine='pc'>hvm</type>"
        "<loader type='rom'>{2}/bios</loader>"
        "<kernel>{2}/vmlinuz</kernel><initrd>{2}/initrd</initrd>"
        "<cmdline>{3}</cmdline></os><features><acpi/></features>"
        "<on_reboot>destroy</on_reboot><devices>"
        "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
        "<disk type='file' device='disk'><driver name='qemu' type='{9}'/>"
        "<source file='{2}/{8}'/><target dev='vda' bus='virtio'/></disk>"
        "<interface type='user'><mac address='{4}'/>"
        "<model type='virtio'/></interface>{5}</devices>{6}</domain>",
        vm.name, vm.uuid, host_->folder().string(), vm.cmdline, vm.mac,
        vm.devices, vm.end, vm.attributes, vm.disk, vm.disk_format);
  }
  void Define(const GateVm& vm) {
    Write("vm.xml", Xml(vm));
    ASSERT_THAT(host_->Virsh({"define", host_->folder() / "vm.xml"}), IsOk());
  }
  // virsh's error; empty if the VM started.
  std::string Start(const std::string& name = "web") {
    const auto started = host_->Virsh({"start", name});
    return started.ok() ? "" : std::string(started.status().message());
  }
  bool StatusSays(const std::string& text) {
    return Eventually([this, &text] {
      return daemon_->Vmattest({"status"}).out.find(text) != std::string::npos;
    });
  }
  std::string State(const std::string& name = "web") {
    return host_->Virsh({"domstate", name}).value_or("unknown");
  }
  void Destroy(const std::string& name = "web") {
    // It says "not running" where libvirt itself saw QEMU's end first.
    host_->Virsh({"destroy", name}).status().IgnoreError();
    ASSERT_TRUE(Eventually([this, &name] {
      return State(name).find("shut off") != std::string::npos;
    }));
  }
  void Sign(reference::Reference reference, reference::GateMode mode,
            uint64_t revision) {
    const int64_t now = SystemClock().Now().time_since_epoch().count();
    reference.header = {.issued_unix_ms = now,
                        .not_before_unix_ms = now - 60'000,
                        .not_after_unix_ms = now + 3'600'000,
                        .signature_algorithms = approver_.algorithms()};
    reference.mode = mode;
    reference.revision = revision;
    ASSERT_OK_AND_ASSIGN(const Bytes document,
                         approver_.Sign(document::kReferencePayloadType,
                                        reference::Encode(reference)));
    Write("references/" + reference.name, std::string(AsText(document)));
  }
  // An approver lets the VM learn, starts it once, and signs what was learned.
  // `change` goes into both references.
  void Approve(
      const GateVm& vm,
      const std::function<void(reference::Reference&)>& change =
          [](reference::Reference&) {}) {
    reference::Reference learn;
    learn.name = "vm-" + vm.uuid;
    learn.vm_uuids = {vm.uuid};
    learn.content = "full";
    learn.rules = {{.path = "name",
                    .kind = reference::LeafRule::Kind::kAny,
                    .type = {},
                    .values = {}}};
    change(learn);
    Sign(learn, reference::GateMode::kLearn, 1);
    RestartDaemon();
    Define(vm);
    ASSERT_EQ(Start(vm.name), "") << daemon_->log();
    Destroy(vm.name);
    const std::string yaml =
        Slurp(daemon_->folder() / "state/gate/learned" / (vm.uuid + ".yaml"));
    ASSERT_OK_AND_ASSIGN(reference::Reference learned,
                         reference::FromYaml(yaml));
    change(learned);
    Sign(learned, reference::GateMode::kEnforce, 2);
    RestartDaemon();
  }

  Swtpm tpm_;
  document::PrivateKey approver_ =
      *document::PrivateKey::Generate("approver", std::nullopt);
  std::unique_ptr<LibvirtHost> host_;
  std::unique_ptr<DaemonProcess> daemon_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_INTEGRATION_LAUNCH_GATE_BED_H_
