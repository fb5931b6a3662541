// docs/operations.md, walked command by command as it says, on real parts: a
// host with libvirtd, QEMU and a TPM, a verifier on another machine over TLS,
// and an approver's desk. The commands, and what they print, are the page's own
// text. What it takes for granted is made here: three machines, packages,
// certificates, systemctl and scp.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "document/document.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/daemon_process.h"
#include "support/idle_kernel.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/test_pki.h"
#include "support/vectors.h"
#include "support/verifier_process.h"

namespace vmattest::testing {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;

constexpr char kHere[] = "    ";

struct Step {
  std::string section;
  std::string machine;  // host, verifier, approver
  std::string command;
  std::vector<std::string> printed;  // the lines that the page shows of it
};

// "MACHINE# COMMAND" or "MACHINE$ COMMAND" in an indented line; "\" at its end
// and "<<E" take what follows along. Other lines up to the end of the block are
// what is printed.
std::optional<Step> Begins(const std::string& line) {
  for (const char* machine : {"host# ", "verifier# ", "approver$ "}) {
    const std::string prompt = std::string(kHere) + machine;
    if (line.rfind(prompt, 0) == 0) {
      Step step;
      step.machine = std::string(machine, std::string(machine).size() - 2);
      step.command = line.substr(prompt.size());
      return step;
    }
  }
  return std::nullopt;
}

std::vector<Step> StepsOf(const std::string& page) {
  std::vector<Step> steps;
  std::istringstream stream(page);
  std::string section;
  bool in_block = false;
  for (std::string line; std::getline(stream, line);) {
    if (line.rfind("## ", 0) == 0) {
      section = line.substr(3);
    }
    std::optional<Step> step = Begins(line);
    if (!step) {
      in_block = in_block && line.rfind(kHere, 0) == 0;
      if (in_block) {
        steps.back().printed.push_back(line.substr(4));
      }
      continue;
    }
    in_block = true;
    const bool here = step->command.find("<<E") != std::string::npos;
    const auto goes_on = [&] {
      return here ? line != "    E" : step->command.back() == '\\';
    };
    while (goes_on() && std::getline(stream, line)) {
      step->command += "\n" + line.substr(std::min<size_t>(4, line.size()));
    }
    step->section = section;
    steps.push_back(*std::move(step));
  }
  return steps;
}

constexpr char kScp[] = R"sh(#!/bin/sh
set -eu
path() {
  case $1 in
    host:*) machine=host rest=${1#host:} ;;
    verifier:*) machine=verifier rest=${1#verifier:} ;;
    *) echo "$1"; return ;;
  esac
  case $rest in
    /etc/vmattest/*) echo "$WALK/$machine-etc/${rest#/etc/vmattest/}" ;;
    /var/lib/vmattest/*) echo "$WALK/$machine-lib/${rest#/var/lib/vmattest/}" ;;
    /*) exit 1 ;;
    *) echo "$WALK/$machine/$rest" ;;
  esac
}
while [ $# -gt 1 ]; do
  from=$(path "$1")
  eval "to=\${$#}"
  cp "$from" "$(path "$to")"
  shift
done
)sh";

// Of the machine that it is called on; returns once the unit says that it is
// ready, as systemd does for Type=notify.
constexpr char kSystemctl[] = R"(#!/bin/sh
set -eu
verb=$1 unit=$2
pid=$(cat "/run/$unit.pid" 2>/dev/null || true)
[ "$unit" != libvirtd ] || pid=$(cat "$BED/libvirtd.pid")
if [ "$verb" = reload ]; then kill -HUP "$pid"; exit; fi
if [ -n "$pid" ]; then
  kill "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
fi
case $unit in
  libvirtd) set -- /usr/sbin/libvirtd; ready='virsh -q uri' file=$BED/libvirtd.pid ;;
  vmattestd) set -- "$BIN/vmattestd" --config /etc/vmattest/vmattestd.yaml
    ready='vmattest call list' file=/run/$unit.pid ;;
  *) set -- "$BIN/$unit" --config "/etc/vmattest/$unit.yaml"
    ready='vmattest hosts list' file=/run/$unit.pid ;;
esac
ulimit -n 8192
"$@" </dev/null >>"$WALK/$unit.log" 2>&1 &
echo $! >"$file"
for _ in $(seq 1500); do
  if $ready >/dev/null 2>&1; then exit; fi
  sleep 0.02
done
exit 1
)";

class OperationsWalk : public ::testing::Test {
 protected:
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("walk"));
    walk_ = host_->folder() / "walk";
    for (const char* folder :
         {"bin", "approver", "host", "verifier", "host-etc/conf.d",
          "host-etc/tls", "host-etc/approvers", "host-etc/references",
          "host-lib", "var-tmp", "verifier-etc/verifierd.conf.d",
          "verifier-etc/tls", "verifier-etc/approvers", "verifier-etc/ek-roots",
          "verifier-lib", "scratch"}) {
      fs::create_directories(walk_ / folder);
    }
    for (const char* state : {"host-lib", "verifier-lib"}) {
      fs::permissions(walk_ / state, fs::perms(0700));
    }
    Program("scp", kScp);
    Program("systemctl", kSystemctl);
    fs::create_symlink(DaemonProcess::CommandLine(), walk_ / "bin/vmattest");
    InstallPackages();
    MakeCertificates();
    // Folders of the package; private to this host but for their names.
    Ran made = OnBed(
        "for d in /etc/vmattest /var/lib/vmattest /var/lib/vmattest-verifierd; "
        "do [ -d $d ] || { mkdir -p $d; echo $d; }; done; "
        "mkdir -p /run/vmattest /run/vmattest-verifierd; "
        "mount --bind $WALK/host-etc /etc/vmattest; "
        "mount --bind $WALK/host-lib /var/lib/vmattest; "
        "mount --bind $WALK/var-tmp /var/tmp; "
        "echo 127.0.0.1 verifier.example.org >>/etc/hosts");
    ASSERT_EQ(made.exit_code, 0) << made.err;
    std::istringstream folders(made.out);
    for (std::string folder; std::getline(folders, folder);) {
      made_.push_back(folder);
    }
    File("vmlinuz", IdleKernel());
    File("disk", std::string(1u << 20, 'd'));
    Define("quiet");
  }
  void TearDown() override {
    host_.reset();
    for (const std::string& folder : made_) {
      rmdir(folder.c_str());
    }
  }

  void File(const std::string& name, const std::string& content) {
    std::ofstream(walk_ / name, std::ios::binary) << content;
  }
  void Program(const std::string& name, const std::string& text) {
    File("bin/" + name, text);
    fs::permissions(walk_ / "bin" / name, fs::perms(0755));
  }
  void InstallPackages() {
    File("host-etc/vmattestd.yaml",
         fmt::format("log_level: debug\n"
                     "tpm: {{tcti: \"{}\", boot_log: \"\"}}\n"
                     "processes: {{worker_user: nobody, scratch_dir: {}}}\n"
                     "signing: {{post_quantum: \"off\"}}\n"
                     "measurement: {{content: full}}\n",
                     tpm_.tcti(), (walk_ / "scratch").string()));
    File("verifier-etc/vmattest-verifierd.yaml",
         "verification: {post_quantum: \"off\"}\n");
    for (const char* name :
         {"swtpm-localca-rootca-cert.pem", "issuercert.pem"}) {
      fs::copy_file(tpm_.ca_folder() / name,
                    walk_ / "verifier-etc/ek-roots" / name);
    }
  }
  void MakeCertificates() {
    const CertificateFiles verifier =
        pki_.Issue("verifier", {"DNS:verifier.example.org"});
    const CertificateFiles host =
        pki_.IssueClient("host", "spiffe://example.org/host/kvm-1");
    const auto install = [this](const std::string& machine,
                                const CertificateFiles& files) {
      const fs::path tls = walk_ / (machine + "-etc/tls");
      fs::copy_file(files.certificate, tls / (machine + ".pem"));
      fs::copy_file(files.private_key, tls / (machine + ".key"));
      fs::copy_file(pki_.ca(), tls / "ca.pem");
    };
    install("verifier", verifier);
    install("host", host);
  }

  // A shell in the namespaces that the host has.
  Ran OnBed(const std::string& script) {
    return RunToEnd({VMATTEST_TESTBED "/host", "exec", Bed(), "env",
                     "WALK=" + walk_.string(), "BED=" + Bed(), "BIN=" + Bin(),
                     "LIBVIRT_DEFAULT_URI=qemu:///system", "PATH=" + Path(),
                     "sh", "-euc", script});
  }
  Ran On(const std::string& machine, const std::string& command) {
    const std::string here = fmt::format("cd $WALK/{}\n{}", machine, command);
    if (machine == "host") {
      return OnBed(here);
    }
    if (machine == "approver") {
      return RunToEnd({"env", "WALK=" + walk_.string(), "PATH=" + Path(), "sh",
                       "-euc", here});
    }
    // Another machine by its files.
    File("on-verifier",
         "mount --bind $WALK/verifier-etc /etc/vmattest\n"
         "mount --bind $WALK/verifier-lib "
         "/var/lib/vmattest-verifierd\n" +
             here);
    return OnBed("exec unshare -m sh -eu $WALK/on-verifier");
  }
  [[nodiscard]] std::string Log(const std::string& unit) const {
    const fs::path log = walk_ / (unit + ".log");
    return fs::exists(log) ? Slurp(log) : "";
  }
  // The page says "within seconds" of much.
  void Follow(const Step& step) {
    Ran ran;
    const bool done = Eventually([&] {
      ran = On(step.machine, AsHere(step.command));
      const std::string printed = ran.out + ran.err;
      return ran.exit_code == 0 &&
             std::all_of(step.printed.begin(), step.printed.end(),
                         [&printed](const std::string& line) {
                           return printed.find(line) != std::string::npos;
                         });
    });
    ASSERT_TRUE(done) << step.section << ": " << step.command << "\n"
                      << ran.out << ran.err << Log("vmattestd")
                      << Log("vmattest-verifierd");
    if (step.command == "vmattest decisions list") {
      EXPECT_THAT(ran.out, HasSubstr("trusted"));
    }
  }
  // As the page says where OpenSSL has no ML-DSA.
  static std::string AsHere(const std::string& command) {
    static const bool has_ml_dsa =
        document::PrivateKey::Generate("probe", MlDsaLevel::k65).ok();
    const std::string generate = "vmattest key generate ";
    return !has_ml_dsa && command.rfind(generate, 0) == 0
               ? command + " --ml-dsa none"
               : command;
  }

  void Define(const std::string& cmdline) {
    File("web.xml",
         fmt::format(
             "<domain type='qemu'><name>web</name>"
             "<uuid>a045410c-221a-45fb-b0ef-341be7ce6025</uuid>"
             "<memory unit='MiB'>16</memory><vcpu>1</vcpu><os>"
             "<type arch='x86_64' machine='pc'>hvm</type>"
             "<kernel>{0}/vmlinuz</kernel><cmdline>{1}</cmdline></os><devices>"
             "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
             "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
             "<source file='{0}/disk'/><target dev='vda' bus='virtio'/></disk>"
             "</devices></domain>",
             walk_.string(), cmdline));
    ASSERT_THAT(host_->Virsh({"define", walk_ / "web.xml"}), IsOk());
  }
  std::string Refusal() {
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
  void RefusesWhatIsNotApproved() {
    Destroy();
    Define("quiet init=/bin/sh");
    EXPECT_THAT(Refusal(), HasSubstr("os/cmdline")) << Log("vmattestd");
  }
  // What happens between the sections.
  void Before(const std::string& section) {
    if (section.rfind("5.", 0) == 0) {
      RefusesWhatIsNotApproved();
    } else if (section.rfind("A verifier", 0) == 0) {
      EXPECT_THAT(Log("vmattestd"), HasSubstr("glass was broken"));
      RefusesWhatIsNotApproved();
      Define("quiet");
    } else if (section.rfind("6.", 0) == 0) {
      EXPECT_THAT(Log("vmattestd"), HasSubstr("basis=\"verdict\""));
      Destroy();
    }
  }

  [[nodiscard]] std::string Bed() const { return host_->folder() / "host"; }
  [[nodiscard]] static std::string Bin() {
    return fs::path(DaemonProcess::Program()).parent_path();
  }
  [[nodiscard]] std::string Path() const {
    return (walk_ / "bin").string() + ":" + Bin() +
           ":/usr/sbin:/usr/bin:/sbin:/bin";
  }

  Swtpm tpm_{Swtpm::Setup::kEkCertificate};
  TestPki pki_;
  std::unique_ptr<LibvirtHost> host_;
  fs::path walk_;
  std::vector<std::string> made_;
};

TEST_F(OperationsWalk, EveryCommandOfThePageWorksAsWritten) {
  const std::string page = Slurp(VMATTEST_SOURCE_DIR "/docs/operations.md");
  std::string section;
  int followed = 0;
  for (const Step& step : StepsOf(page)) {
    if (section != step.section) {
      section = step.section;
      Before(section);
    }
    Follow(step);
    ++followed;
    if (HasFailure()) {
      return;
    }
  }
  EXPECT_GT(followed, 40);
  EXPECT_THAT(Log("vmattestd"), HasSubstr("a saved image was registered"));
  RefusesWhatIsNotApproved();
}

TEST(OperationsPage, CommandsAreReadWithWhatTheyTakeAlong) {
  const std::vector<Step> steps = StepsOf(
      "## 1. One\n\n    host# cat >x <<E\n    a:\n      b\n    E\n    printed\n"
      "    approver$ vmattest a \\\n        --b\n");
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].machine, "host");
  EXPECT_EQ(steps[0].section, "1. One");
  EXPECT_EQ(steps[0].command, "cat >x <<E\na:\n  b\nE");
  EXPECT_THAT(steps[0].printed, ::testing::ElementsAre("printed"));
  EXPECT_EQ(steps[1].machine, "approver");
  EXPECT_EQ(steps[1].command, "vmattest a \\\n    --b");
}

}  // namespace
}  // namespace vmattest::testing
