// Snapshots that say what a real guest's kernel does: from the daemon's command
// line through its confined worker, the TPM and back, offline. What attacks on
// the guest's memory look like in the next snapshot, and that ordinary life and
// a reboot look like nothing.

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>

#include "base/handles.h"
#include "baseline/baseline.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "kvm/linux/process_scan.h"
#include "memory/linux/process_ram.h"
#include "nlohmann/json.hpp"
#include "support/daemon_process.h"
#include "support/guest_files.h"
#include "support/kernel_attacks.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/run_command.h"
#include "support/swtpm.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

using ::testing::Contains;
using ::testing::ContainsRegex;
using testing::DaemonProcess;
using ::testing::ElementsAre;
using testing::Eventually;
using testing::GuestKernel;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::KernelAttack;
using testing::KernelView;
using testing::LibvirtHost;
using testing::MemfdGuestMemory;
using ::testing::Not;
using testing::Ran;
using testing::Swtpm;

constexpr std::string_view kPolicy = R"(
id: linux
version: 1
consistency: {mode: paused, pause_budget_ms: 10000}
regions:
  - {name: text, severity: critical, kernel: {parts: [text]}}
  - name: tables
    severity: critical
    kernel: {parts: [idt, gdt, syscall_table]}
  - {name: rodata, severity: high, kernel: {parts: [rodata]}}
  - name: modules
    severity: high
    modules: {names: ["*"], parts: [text, rodata]}
  - {name: helpers, severity: high, symbols: {names: ["modprobe_pa?h", core_pattern]}}
  - name: tasks
    tasks: {fields: [pid, comm, uid, gid, caps, parent]}
  - name: busybox
    process: {executable: /bin/busybox, mappings: [executable, anonymous]}
  - {name: low, physical: {ranges: [{begin: 0x100000, end: 0x200000}]}}
  - {name: none, severity: low, symbols: {names: ["no_such_symbol_*"]}}
)";

constexpr std::string_view kMoment = R"(
id: moment
version: 1
consistency: {mode: point-in-time}
regions:
  - {name: text, severity: critical, kernel: {parts: [text]}}
)";

// Each line from the console is a command.
constexpr std::string_view kJob = R"(#!/bin/sh
stty -echo
load_msr() { echo @MSR@ | base64 -d >/msr.ko && insmod /msr.ko; }
echo CONSOLE-"READY"
n=0
while read -r line; do
  eval "$line" 2>&1
  n=$((n + 1))
  echo "CONSOLE-DONE-$n."
done
)";

// A snapshot as its evidence and its pages say.
struct Snapshot {
  nlohmann::json state;
  evidence::SnapshotPages pages;
  std::optional<evidence::Boot> boot;

  [[nodiscard]] std::string findings() const {
    return state["findings"].dump(1);
  }
  [[nodiscard]] std::map<std::string, std::string> records() const {
    std::map<std::string, std::string> records;
    for (const evidence::StateRecord& record : pages.records) {
      records[record.name] = record.text;
    }
    return records;
  }
  [[nodiscard]] const nlohmann::json& region(const std::string& name) const {
    for (const nlohmann::json& region : state["regions"]) {
      if (region["name"] == name) {
        return region;
      }
    }
    static const nlohmann::json kNone;
    return kNone;
  }
  [[nodiscard]] std::map<std::string, uint64_t> parts() const {
    std::map<std::string, uint64_t> parts;
    for (const auto& region : pages.regions) {
      for (const auto& part : region.parts) {
        parts[part.name] = part.address;
      }
    }
    return parts;
  }
};

class SemanticSnapshotTest : public ::testing::TestWithParam<GuestKernel> {
 protected:
  // One bed, and one guest for each kernel.
  static void SetUpTestSuite() {
    if (!LibvirtHost::WhyNot().empty()) {
      return;
    }
    auto host = LibvirtHost::Up("semantic");
    ASSERT_THAT(host.status(), IsOk());
    host_ = std::move(*host).release();
    tpm_ = new Swtpm;
    const auto policies = host_->folder() / "policies";
    std::filesystem::create_directory(policies);
    std::filesystem::create_directory(host_->folder() / "anchors");
    std::filesystem::create_directory(host_->folder() / "modules");
    std::ofstream(policies / "linux.yaml") << kPolicy;
    std::ofstream(policies / "moment.yaml") << kMoment;
    for (const char* shipped : {"linux-kernel.yaml", "linux-server.yaml"}) {
      std::filesystem::copy_file(std::filesystem::path(VMATTEST_SOURCE_DIR) /
                                     "config/policies" / shipped,
                                 policies / shipped);
    }
    daemon_ = new DaemonProcess(
        {.libvirt_uri = host_->uri(),
         .tcti = tpm_->tcti(),
         .more = fmt::format("kvm: {{libvirt_run_dir: {}/host/run/qemu}}\n"
                             "memory: {{enabled: true, policies: {}, "
                             "modules: {}}}\n",
                             host_->folder().string(), policies.string(),
                             Path("modules"))});
    ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
    Vmattest({"host-identity", "--out", Path("anchors/host.json")});
  }
  static void TearDownTestSuite() {
    delete daemon_;
    delete tpm_;
    delete host_;
  }
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    name_ = fmt::format("guest-{}", GetParam().name);
    if (Started().count(name_) == 0) {
      const absl::Status made = MakeGuest();
      if (absl::IsNotFound(made)) {
        GTEST_SKIP() << made;
      }
      ASSERT_THAT(made, IsOk());
      Boot();
      Started()[name_] = 0;
    }
    OpenMemory();
  }

  absl::Status MakeGuest(const std::string& cmdline = "") {
    ASSIGN_OR_RETURN(const std::string folder, testing::MakeGuest(GetParam()));
    modules_[name_] = folder + "/lib/modules/";
    const std::string tools = VMATTEST_TESTBED;
    ASSIGN_OR_RETURN(
        const std::string msr,
        testing::RunCommand({"sh", "-c",
                             "dpkg-deb --fsys-tarfile " + folder +
                                 "/packages/linux-image*.deb | tar -xO "
                                 "--wildcards '*/x86/kernel/msr.ko*' | "
                                 "xz -dcf | base64 -w0"}));
    std::string job(kJob);
    job.replace(job.find("@MSR@"), 5, msr);
    std::ofstream(Path("job")) << job;
    const std::string initrd = Path(name_ + ".img");
    RETURN_IF_ERROR(
        testing::RunCommand(
            {tools + "/add-job", folder + "/initrd.img", initrd, Path("job")})
            .status());
    ASSIGN_OR_RETURN(std::string xml,
                     testing::RunCommand(
                         {tools + "/make-domain", name_, folder,
                          "backing=memfd", "mem=512", "machine=pc", "cpus=2",
                          // An emulated timer is late on a busy machine.
                          "cmdline=no_timer_check " + cmdline, "uuid=" + Uuid(),
                          "initrd=" + initrd, "cpu=<cpu mode='maximum'/>"}));
    const std::string ends = "<on_reboot>destroy<";
    xml.replace(xml.find(ends), ends.size(), "<on_reboot>restart<");
    std::ofstream(Path(name_ + ".xml")) << xml;
    return absl::OkStatus();
  }
  [[nodiscard]] std::string Uuid() const {
    return fmt::format("00000000-0000-4000-8000-00000000000{}",
                       name_.size() % 10);
  }
  void Boot() {
    ASSERT_THAT(host_->Virsh({"create", Path(name_ + ".xml")}), IsOk());
    ASSERT_TRUE(host_->AwaitConsole(name_, "CONSOLE-READY"))
        << host_->Console(name_);
    // What the operator has of this kernel, as its package has it.
    const std::string said = host_->Console(name_);
    std::smatch release;
    ASSERT_TRUE(
        std::regex_search(said, release, std::regex("READY kernel=(\\S+)")));
    release_[name_] = release[1];
    std::error_code exists;
    std::filesystem::create_directory_symlink(
        modules_[name_] + release_[name_], Path("modules/" + release_[name_]),
        exists);
  }
  void OpenMemory() {
    const auto process = kvm::FindDomainProcess(
        name_, Uuid(), host_->folder() / "host" / "run" / "qemu", "/proc");
    ASSERT_THAT(process.status(), IsOk());
    auto memory = MemfdGuestMemory::Open(process->pid);
    ASSERT_THAT(memory.status(), IsOk());
    memory_ = *std::move(memory);
  }
  [[nodiscard]] std::set<std::string> KindsOfModuleFiles() const {
    std::set<std::string> kinds;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(
             Path("modules/" + release_.at(name_)),
             std::filesystem::directory_options::follow_directory_symlink)) {
      if (entry.is_regular_file()) {
        kinds.insert(entry.path().extension());
      }
    }
    return kinds;
  }
  static std::vector<memory::ProcessMapping> MappingsOf(
      const std::filesystem::path& process) {
    std::ifstream file(process / "maps");
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    return memory::ParseMappings(text);
  }
  [[nodiscard]] uint64_t InodeOfRam() const {
    const auto process = kvm::FindDomainProcess(
        name_, Uuid(), host_->folder() / "host" / "run" / "qemu", "/proc");
    for (const auto& mapping :
         MappingsOf(fmt::format("/proc/{}", process->pid))) {
      if (mapping.path.rfind("/memfd:", 0) == 0) {
        return mapping.inode;
      }
    }
    return 0;
  }
  // Whether a worker of the daemon has a guest's memory mapped.
  static bool WorkerMaps(uint64_t inode) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::string name;
      std::ifstream(entry.path() / "comm") >> name;
      const auto mappings = name.rfind("vmattest-memory", 0) == 0
                                ? MappingsOf(entry.path())
                                : std::vector<memory::ProcessMapping>();
      for (const auto& mapping : mappings) {
        if (mapping.inode == inode && mapping.path.rfind("/memfd:", 0) == 0) {
          return true;
        }
      }
    }
    return false;
  }
  // In the same QEMU; until Boot() no line can be run any more.
  void RebootInPlace() {
    const size_t before = host_->Console(name_).rfind("CONSOLE-READY");
    const UniqueFd console = Type("reboot -f");
    ASSERT_TRUE(Eventually([&] {
      return host_->Console(name_).rfind("CONSOLE-READY") > before;
    })) << host_->Console(name_);
  }
  // KASLR has some 500 places to choose from.
  bool KernelIsWhereItWas(const Snapshot& before) {
    return Take().parts()["kernel/text"] == before.parts()["kernel/text"];
  }
  // Runs a line of shell in the guest, at its console.
  void Run(const std::string& line) {
    const UniqueFd console = Type(line);
    const std::string done =
        fmt::format("CONSOLE-DONE-{}.\r\n", ++Started()[name_]);
    ASSERT_TRUE(host_->AwaitConsole(name_, done)) << host_->Console(name_);
  }
  // As the kernel's debugging module allows it: of the second processor, on
  // which no process may run then.
  void AddToLstar(const std::string& number) {
    Run("set -- $(dd if=/dev/cpu/1/msr bs=8 count=1 skip=3221225602 "
        "iflag=skip_bytes | od -An -tu1); "
        "printf \"$(printf '\\\\%03o' $(($1" +
        number +
        ")) $2 $3 $4 $5 $6 $7 $8)\" | dd of=/dev/cpu/1/msr bs=8 count=1 "
        "seek=3221225602 oflag=seek_bytes conv=notrunc");
  }
  // To be held until the answer is there: QEMU reads only what somebody holds.
  UniqueFd Type(const std::string& line) {
    std::string tty = host_->Virsh({"ttyconsole", name_}).value_or("");
    tty.erase(tty.find_last_not_of(" \n") + 1);
    UniqueFd console(open(tty.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
    EXPECT_TRUE(console.valid()) << tty;
    const std::string command = line + "\n";
    EXPECT_EQ(write(console.get(), command.data(), command.size()),
              static_cast<ssize_t>(command.size()));
    return console;
  }
  // What that writes, into a file.
  void RunInto(const std::string& line, const std::string& file) {
    const size_t before = host_->Console(name_).size();
    Run(line);
    std::string said = host_->Console(name_).substr(before);
    std::erase(said, '\r');
    std::ofstream(Path(file)) << said.substr(0, said.find("CONSOLE-DONE-"));
  }

  static Ran Vmattest(const std::vector<std::string>& words) {
    Ran ran = daemon_->Vmattest(words);
    EXPECT_EQ(ran.exit_code, 0) << ran.out << ran.err << daemon_->log();
    return ran;
  }
  // What asks no daemon.
  static Ran Offline(std::vector<std::string> words) {
    words.insert(words.begin(), DaemonProcess::CommandLine());
    Ran ran = testing::RunToEnd(words);
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    return ran;
  }
  static std::string Slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string Path(const std::string& name) {
    return host_->folder() / name;
  }
  Snapshot Take(const std::string& nonce = "",
                const std::string& policy = "linux") {
    std::vector<std::string> capture = {"snapshot", "capture",  "--vm",
                                        name_,      "--policy", policy,
                                        "--out",    Path("e")};
    if (!nonce.empty()) {
      capture.insert(capture.end(), {"--nonce", nonce});
    }
    shown_ = Vmattest(capture).err;
    const std::string id = shown_.substr(0, shown_.find(' '));
    Vmattest({"snapshot", "get", "--vm", name_, "--id", id, "--out", Path("e"),
              "--pages", Path("pages")});
    const Ran ran = testing::RunToEnd({DaemonProcess::CommandLine(), "verify",
                                       Path("e"), "--anchors", Path("anchors"),
                                       "--pages", Path("pages"), "--json"});
    kept_pages_ = "pages-" + std::to_string(++taken_);
    kept_ = "e-" + std::to_string(taken_);
    std::filesystem::copy_file(Path("e"), Path(kept_));
    std::filesystem::copy_file(Path("pages"), Path(kept_pages_));
    EXPECT_EQ(ran.exit_code, 0) << ran.out << ran.err;
    Snapshot taken;
    taken.state = nlohmann::json::parse(ran.out, nullptr, false)["state"];
    auto pages = wire::ParseSnapshotPages(AsBytes(Slurp(Path("pages"))));
    EXPECT_THAT(pages.status(), IsOk());
    taken.pages = std::move(pages).value_or(evidence::SnapshotPages());
    const auto evidence = wire::ParseEvidence(AsBytes(Slurp(Path("e"))));
    EXPECT_THAT(evidence.status(), IsOk());
    const auto statement =
        wire::ParseStateStatement(evidence->envelope.payload);
    EXPECT_THAT(statement.status(), IsOk());
    taken.boot = statement->boot;
    return taken;
  }
  // Takes a snapshot under `attack`: its findings must be of one code, about
  // `element`, and shown.
  Snapshot ExpectFinding(const std::string& code, const std::string& element,
                         const std::string& severity = "critical",
                         const std::string& policy = "linux") {
    Snapshot taken = Take("", policy);
    bool found = false;
    for (const nlohmann::json& finding : taken.state["findings"]) {
      found = found || (finding["code"] == code &&
                        finding["element"].get<std::string>().find(element) !=
                            std::string::npos);
    }
    EXPECT_TRUE(found) << code << " " << element << taken.findings();
    EXPECT_THAT(shown_,
                HasSubstr(fmt::format("finding     {} {}", severity, code)));
    return taken;
  }
  // The guest is asked, with what its `ps` comes to; the report is the file
  // `name`. Returns the nonce.
  std::string Report(const std::string& name, const std::string& filter = "") {
    RunInto("cat /proc/modules", "said-modules");
    RunInto("ps -o pid,comm" + filter, "said-tasks");
    RunInto("cat /proc/cmdline", "said-cmdline");
    std::string nonce =
        Offline({"baseline", "guest-report", "--after", Path(kept_),
                 "--modules", Path("said-modules"), "--tasks",
                 Path("said-tasks"), "--cmdline", Path("said-cmdline"),
                 "--release", release_[name_], "--out", Path(name)})
            .out;
    nonce.erase(nonce.find_last_not_of('\n') + 1);
    return nonce;
  }
  // The contradictions between the last snapshot, the report before it, and the
  // snapshot before that.
  std::vector<std::string> Contradictions(
      const std::string& earlier, const std::string& earlier_pages,
      const std::string& report, const std::string& earlier_report = "") {
    Offline({"baseline", "set", Path(earlier), Path(earlier_pages), "--name",
             "cross", "--revision", "1", "--out", Path("draft"),
             "--accept-findings"});
    std::vector<std::string> compare = {DaemonProcess::CommandLine(),
                                        "baseline",
                                        "compare",
                                        Path("draft"),
                                        Path(earlier_pages),
                                        Path(kept_),
                                        Path(kept_pages_),
                                        "--guest-report",
                                        Path(report),
                                        "--earlier",
                                        Path(earlier),
                                        "--earlier-pages",
                                        Path(earlier_pages)};
    if (!earlier_report.empty()) {
      compare.insert(compare.end(), {"--earlier-report", Path(earlier_report)});
    }
    const Ran ran = testing::RunToEnd(compare);
    EXPECT_THAT(ran.err, IsEmpty());
    std::vector<std::string> lines;
    std::istringstream text(ran.out);
    for (std::string line; std::getline(text, line);) {
      if (line.find("contradiction") != std::string::npos ||
          line.find("guest-report") != std::string::npos) {
        lines.push_back(line);
      }
    }
    return lines;
  }
  // The last snapshot as its baseline; what is compared with it later.
  struct Baseline {
    std::string draft, pages;
  };
  Baseline MakeBaseline() {
    Baseline made{Path(kept_ + ".draft"), Path(kept_pages_)};
    told_ = Offline({"baseline", "set", Path(kept_), made.pages, "--name",
                     kept_, "--revision", "1", "--out", made.draft})
                .out;
    return made;
  }
  // What `baseline compare` says of the last snapshot; 0: as it must be.
  Ran Compare(const Baseline& with) {
    return testing::RunToEnd({DaemonProcess::CommandLine(), "baseline",
                              "compare", with.draft, with.pages, Path(kept_),
                              Path(kept_pages_)});
  }
  void ExpectVerdict(const Baseline& with, const std::string& severity,
                     const std::string& element) {
    const Ran ran = Compare(with);
    EXPECT_EQ(ran.exit_code, 1) << ran.out << ran.err;
    EXPECT_THAT(ran.out, ContainsRegex(severity + " .*" + element));
  }
  // `of` as a daemon that counts no resets would have made it.
  static Baseline WithoutBoot(const Baseline& of) {
    auto parsed = baseline::Parse(AsBytes(Slurp(of.draft)));
    EXPECT_THAT(parsed.status(), IsOk());
    EXPECT_TRUE(parsed->boot);
    parsed->boot.reset();
    Baseline made{of.draft + ".countless", of.pages};
    std::ofstream(made.draft, std::ios::binary)
        << AsText(baseline::Encode(*parsed));
    return made;
  }
  // The policies that are shipped.
  std::map<std::string, Baseline> MakeShippedBaselines() {
    std::map<std::string, Baseline> made;
    for (const char* policy : {"linux-kernel", "linux-server"}) {
      Take("", policy);
      made[policy] = MakeBaseline();
    }
    return made;
  }
  void ExpectNoAlarm(const std::map<std::string, Baseline>& before) {
    for (const auto& [policy, baseline] : before) {
      Take("", policy);
      const Ran ran = Compare(baseline);
      EXPECT_EQ(ran.exit_code, 0) << policy << "\n" << ran.out << ran.err;
      EXPECT_THAT(ran.out, HasSubstr("score 100,")) << policy;
    }
  }
  // What differs beside processes and modules, which come and go.
  static std::vector<std::string> Changed(const Snapshot& before,
                                          const Snapshot& after) {
    std::map<std::string, std::string> left = before.records();
    std::vector<std::string> names;
    for (const auto& [name, text] : after.records()) {
      const auto same = left.find(name);
      const bool comes_and_goes =
          name.rfind("process/", 0) == 0 || name.rfind("module/", 0) == 0;
      if (!comes_and_goes && (same == left.end() || same->second != text)) {
        names.push_back(name);
      }
      left.erase(name);
    }
    for (const auto& [name, text] : left) {
      if (name.rfind("process/", 0) != 0 && name.rfind("module/", 0) != 0) {
        names.push_back(name);
      }
    }
    return names;
  }

  // Names of the guests that run, with the number of commands they were given.
  static std::map<std::string, int>& Started() {
    static std::map<std::string, int> started;
    return started;
  }
  static inline LibvirtHost* host_ = nullptr;
  static inline Swtpm* tpm_ = nullptr;
  static inline DaemonProcess* daemon_ = nullptr;
  static inline std::map<std::string, std::string> modules_, release_;
  static inline int taken_ = 0;
  std::string kept_, kept_pages_;  // files of the last snapshot
  std::string name_;
  std::string shown_;  // what `snapshot capture` told a person
  std::string told_;   // and `baseline set`
  std::unique_ptr<MemfdGuestMemory> memory_;
};

TEST_P(SemanticSnapshotTest, HealthyGuestIsNamedWholeAndHasNoFindings) {
  const Snapshot taken = Take();
  EXPECT_EQ(taken.state["semantics"], "linux") << taken.state.dump(1);
  EXPECT_EQ(taken.state["findings"].size(), 0U) << taken.findings();
  EXPECT_GT(taken.state["pause_us"], 0) << taken.state.dump(1);
  // This test has its memory mapped, to attack it; so a pause proves less
  // (S23).
  EXPECT_EQ(taken.state["consistency"], "live");
  EXPECT_THAT(taken.state["notes"].dump(),
              HasSubstr(fmt::format("also-mapped: process {}", getpid())));
  EXPECT_EQ(taken.state["code_hash"].get<std::string>().size(), 64U)
      << taken.state["code_hash_state"];
  EXPECT_EQ(taken.state["code_hash_state"], "measured");
  EXPECT_EQ(KindsOfModuleFiles(),
            std::set<std::string>({GetParam().name == "6.1" ? ".ko" : ".xz"}));
  for (const char* name : {"text", "tables", "rodata", "modules", "helpers",
                           "tasks", "busybox", "low"}) {
    EXPECT_EQ(taken.region(name)["unavailable"], "") << name;
  }
  EXPECT_THAT(taken.region("none")["unavailable"].get<std::string>(),
              HasSubstr("not-found"));
  const std::map<std::string, uint64_t> parts = taken.parts();
  for (const char* name : {"kernel/text", "idt", "gdt/cpu1", "syscall_table",
                           "module/virtio_net/text", "symbol/modprobe_path"}) {
    EXPECT_EQ(parts.count(name), 1U) << name;
  }
  EXPECT_THAT(shown_, HasSubstr("kernel/text"));
  EXPECT_THAT(shown_,
              HasSubstr(fmt::format("kernel      linux {}", GetParam().name)));
  std::map<std::string, std::string> records = taken.records();
  EXPECT_THAT(records["kernel/cmdline"], HasSubstr("console=ttyS0 quiet"));
  EXPECT_THAT(records["kernel/version"], HasSubstr("Linux version "));
  EXPECT_EQ(records["kernel/release"], taken.state["kernel_release"]);
  EXPECT_EQ(records["syscall/62"], "__x64_sys_kill");
  EXPECT_EQ(records["code/kernel"].size(), 64U) << records["code/kernel"];
  EXPECT_EQ(records["code/rodata"].size(), 64U) << records["code/rodata"];
  EXPECT_EQ(records["code/module/virtio_net"].size(), 64U)
      << records["code/module/virtio_net"];
  EXPECT_THAT(records["process/1"],
              ContainsRegex("comm=init uid=0.* start=[1-9]"));
  MakeBaseline();
  EXPECT_THAT(told_, HasSubstr("not in it: region none: not-found"));
  // The next one, by the same worker, sees that this test has it no more.
  memory_.reset();
  const Snapshot alone = Take();
  EXPECT_EQ(alone.state["consistency"], "paused") << alone.state["notes"];
  EXPECT_THAT(alone.state["notes"].dump(), Not(HasSubstr("also-mapped")));
}

// What an operator knows of a kernel beforehand.
TEST_P(SemanticSnapshotTest, AnotherKernelThanTheOneExpectedIsRefused) {
  const Snapshot taken = Take();
  const auto verify = [](const char* option, const std::string& value) {
    return testing::RunToEnd({DaemonProcess::CommandLine(), "verify", Path("e"),
                              "--anchors", Path("anchors"), option, value});
  };
  for (const auto& [option, claim] :
       {std::pair("--kernel-build-id", "kernel_build_id"),
        std::pair("--code-hash", "code_hash")}) {
    std::string value = taken.state[claim].get<std::string>();
    ASSERT_GE(value.size(), 40U) << claim;
    EXPECT_EQ(verify(option, value).exit_code, 0) << claim;
    value[7] = value[7] == '0' ? '1' : '0';
    const Ran refused = verify(option, value);
    EXPECT_EQ(refused.exit_code, 1) << claim;
    EXPECT_THAT(refused.out + refused.err, HasSubstr(claim));
  }
}

TEST_P(SemanticSnapshotTest, AttacksAreNamedInTheNextSnapshot) {
  Run("echo 'user:x:1000:1000::/:/bin/sh' >/etc/passwd; "
      "su user -c 'exec sleep 10000' & sleep 1");
  const Snapshot healthy = Take();
  ASSERT_EQ(healthy.state["findings"].size(), 0U) << healthy.findings();
  const Baseline baseline = MakeBaseline();
  KernelView view(*memory_);
  {
    KernelAttack attack(*memory_);
    testing::HookSystemCall(attack, view, 62);
    const Snapshot taken =
        ExpectFinding("syscall-hooked", "sys_call_table[62]");
    ExpectVerdict(baseline, "critical", "syscall/62");
    EXPECT_THAT(taken.findings(), HasSubstr("sys_call_table+0x1f0, "))
        << "rodata-modified";
    EXPECT_THAT(Changed(healthy, taken),
                ElementsAre("code/rodata", "syscall/62"));
    const std::string compared = Compare(baseline).out;
    EXPECT_TRUE(std::regex_search(
        compared,
        std::regex(R"(rodata: kernel/rodata\+0x\w+ \(.*sys_call_table)")))
        << compared;
    EXPECT_NE(taken.region("tables")["root"], healthy.region("tables")["root"]);
  }
  {
    KernelAttack attack(*memory_);
    testing::PatchFunction(attack, view, "commit_creds");
    const Snapshot taken = ExpectFinding("code-modified", "commit_creds");
    EXPECT_THAT(Changed(healthy, taken), ElementsAre("code/kernel"));
    ExpectVerdict(baseline, "critical", "commit_creds");
    EXPECT_NE(taken.state["code_hash"], healthy.state["code_hash"]);
  }
  {
    KernelAttack attack(*memory_);
    testing::PatchModule(attack, view, "qemu_fw_cfg", "fw_cfg_sysfs_read_raw");
    const Snapshot taken =
        ExpectFinding("code-modified", "qemu_fw_cfg:fw_cfg_sysfs_read_raw");
    EXPECT_THAT(Changed(healthy, taken),
                ElementsAre("code/module/qemu_fw_cfg"));
    ExpectVerdict(baseline, "critical", "qemu_fw_cfg:fw_cfg_sysfs_read_raw");
    EXPECT_NE(taken.state["code_hash"], healthy.state["code_hash"]);
  }
  {
    KernelAttack attack(*memory_);
    testing::HideModule(attack, view, "qemu_fw_cfg");
    ExpectFinding("module-hidden", "qemu_fw_cfg");
    ExpectVerdict(baseline, "critical", "qemu_fw_cfg");
  }
  {
    // Of a vector that nothing raises: the guest goes on.
    KernelAttack attack(*memory_);
    testing::HookInterrupt(attack, view, 4);
    ExpectFinding("interrupt-hooked", "idt_table[4]");
    ExpectVerdict(baseline, "critical", "idt");
  }
  {
    KernelAttack attack(*memory_);
    testing::MakeDataExecutable(attack, view);
    ExpectFinding("code-unknown", "");
    ExpectVerdict(baseline, "critical", "code-unknown|executable");
  }
  // What only a comparison shows: settings and identities.
  const auto& all = view.inspection.processes.processes;
  const auto victim = std::find_if(
      all.begin(), all.end(), [](const auto& one) { return one.uid == 1000; });
  ASSERT_NE(victim, all.end());
  {
    KernelAttack attack(*memory_);
    testing::MakeRoot(attack, view, victim->pid);
    attack.Write(view.kernel(), view.Symbol("modprobe_path"),
                 ToBytes(std::string_view("/tmp/x\0", 7)));
    const Snapshot taken = Take();
    EXPECT_THAT(Changed(healthy, taken), ElementsAre("helper/modprobe_path"));
    EXPECT_EQ(taken.records()["helper/modprobe_path"], "/tmp/x");
    ExpectVerdict(baseline, "high", "helper/modprobe_path");
    ExpectVerdict(baseline, "", fmt::format("process/{}.*uid", victim->pid));
    const std::string process = fmt::format("process/{}", victim->pid);
    EXPECT_THAT(healthy.records()[process], HasSubstr(" uid=1000 "));
    EXPECT_THAT(taken.records()[process],
                HasSubstr(" uid=0 euid=0 gid=0 egid=0 "));
    EXPECT_NE(taken.region("tasks")["root"], healthy.region("tasks")["root"]);
    EXPECT_NE(taken.region("helpers")["root"],
              healthy.region("helpers")["root"]);
  }
  const Snapshot after = Take();
  EXPECT_EQ(after.state["findings"].size(), 0U) << after.findings();
  EXPECT_THAT(Changed(healthy, after), IsEmpty());
  EXPECT_EQ(after.state["code_hash"], healthy.state["code_hash"]);
}

TEST_P(SemanticSnapshotTest, CodeInjectedIntoAProcessIsNamedInTheNext) {
  Run("sleep 10001 & victim=$!; "
      "until grep -q sleep /proc/$victim/comm; do :; done");
  const Snapshot healthy = Take();
  ASSERT_EQ(healthy.state["findings"].size(), 0U) << healthy.findings();
  const Baseline baseline = MakeBaseline();
  // Through the kernel, as a debugger would.
  Run("printf x | dd of=/proc/$victim/mem bs=1 seek=$((0x401800)) "
      "conv=notrunc");
  const Snapshot taken = ExpectFinding("process-code-modified",
                                       "(sleep) /bin/busybox+0x1000", "high");
  EXPECT_EQ(taken.state["findings"].size(), 1U) << taken.findings();
  EXPECT_THAT(taken.findings(), HasSubstr("private copy"));
  EXPECT_NE(taken.region("busybox")["root"], healthy.region("busybox")["root"]);
  ExpectVerdict(baseline, "high", "process-code-modified");
  Run("kill $victim; wait $victim");
  const Snapshot after = Take();
  EXPECT_EQ(after.state["findings"].size(), 0U) << after.findings();
}

TEST_P(SemanticSnapshotTest, S21_LstarThatLeadsElsewhereIsNamedInTheNext) {
  Run("load_msr; for process in /proc/[0-9]*; do "
      "taskset -p 1 ${process#/proc/} >/dev/null 2>&1; done");
  const Snapshot healthy = Take("", "moment");
  // Of one moment, but for what this test, which has it mapped, might write.
  EXPECT_EQ(healthy.state["reader"], "saved-state");
  EXPECT_THAT(healthy.state["notes"].dump(), HasSubstr("\"point-in-time: "));
  EXPECT_EQ(healthy.state["cpu_state"], "measured");
  EXPECT_EQ(healthy.state["findings"].size(), 0U) << healthy.findings();
  EXPECT_EQ(healthy.records()["cpu/1/lstar"], "entry_SYSCALL_64");
  const Baseline baseline = MakeBaseline();
  AddToLstar("+4");
  const Snapshot taken =
      ExpectFinding("cpu-entry", "cpu 1 lstar", "critical", "moment");
  EXPECT_EQ(taken.state["reader"], "saved-state");
  EXPECT_THAT(taken.state["notes"].dump(), HasSubstr("\"point-in-time: "));
  EXPECT_EQ(taken.state["cpu_state"], "measured");
  EXPECT_EQ(taken.state["findings"].size(), 1U) << taken.findings();
  EXPECT_EQ(taken.records()["cpu/1/lstar"], "entry_SYSCALL_64+0x4");
  EXPECT_THAT(Changed(healthy, taken), ElementsAre("cpu/1/lstar"));
  ExpectVerdict(baseline, "critical", "cpu/1/lstar");
  AddToLstar("-4");
  Run("rmmod msr");
}

TEST_P(SemanticSnapshotTest, OrdinaryLifeAndARebootRaiseNoAlarm) {
  const Snapshot before = Take();
  const auto shipped = MakeShippedBaselines();
  Run("echo 1 >/proc/sys/kernel/sched_schedstats");  // a static key
  Run("rmmod qemu_fw_cfg; insmod /lib/modules/qemu_fw_cfg.ko; "
      "for i in 1 2 3 4 5; do sleep 1000 & done; ls -R /sys >/dev/null");
  const Snapshot after = Take();
  EXPECT_EQ(after.state["findings"].size(), 0U) << after.findings();
  EXPECT_EQ(after.state["code_hash"], before.state["code_hash"]);
  EXPECT_THAT(Changed(before, after), IsEmpty());
  ExpectNoAlarm(shipped);
  RebootInPlace();  // its pages are compared, too
  ExpectNoAlarm(shipped);

  // The worker that is kept for the next snapshot does not keep what the guest
  // had of the host.
  const uint64_t ram = InodeOfRam();
  memory_.reset();
  EXPECT_TRUE(WorkerMaps(ram));
  ASSERT_THAT(host_->Virsh({"destroy", name_}), IsOk());
  EXPECT_TRUE(Eventually([&] { return !WorkerMaps(ram); }));
  Boot();
  Started()[name_] = 0;
  if (KernelIsWhereItWas(before)) {
    ASSERT_THAT(host_->Virsh({"destroy", name_}), IsOk());
    Boot();
  }
  const Snapshot rebooted = Take();
  EXPECT_EQ(rebooted.state["findings"].size(), 0U) << rebooted.findings();
  EXPECT_EQ(rebooted.state["code_hash"], before.state["code_hash"]);
  EXPECT_EQ(rebooted.state["code_hash_state"], "measured")
      << "modules among it";
  EXPECT_NE(rebooted.region("text")["root"], before.region("text")["root"])
      << "KASLR put the same code elsewhere";
  EXPECT_NE(rebooted.region("modules")["root"],
            before.region("modules")["root"]);
  EXPECT_THAT(Changed(before, rebooted), IsEmpty());
  ExpectNoAlarm(shipped);
}

// As KASLR does it with one reboot in 500.
TEST_P(SemanticSnapshotTest, ARebootToTheSamePlaceIsKnownByTheReset) {
  name_ += "-fixed";
  ASSERT_THAT(MakeGuest("nokaslr"), IsOk());
  Boot();
  Started()[name_] = 0;
  const Snapshot before = Take();
  const auto shipped = MakeShippedBaselines();
  RebootInPlace();
  const Snapshot after = Take();
  EXPECT_EQ(after.parts()["kernel/text"], before.parts()["kernel/text"]);
  EXPECT_EQ(after.findings(), before.findings());
  ASSERT_TRUE(before.boot && after.boot);
  EXPECT_EQ(after.boot->listener, before.boot->listener);
  EXPECT_GT(after.boot->resets, before.boot->resets) << "firmware may add one";
  ExpectNoAlarm(shipped);
  Take("", "linux-kernel");
  const Ran unknown = Compare(WithoutBoot(shipped.at("linux-kernel")));
  EXPECT_EQ(unknown.exit_code, 1) << unknown.out << unknown.err;
  EXPECT_THAT(unknown.out, HasSubstr("constant"));
  ASSERT_THAT(host_->Virsh({"destroy", name_}), IsOk());
}

TEST_P(SemanticSnapshotTest, WhatTheGuestTellsIsComparedWithItsMemory) {
  Run("sleep 7001 & sleep 7002 & sleep 7003 & gone=$!; rmmod qemu_fw_cfg; "
      "sleep 1");
  Take();
  const std::string first = kept_;
  const std::string first_pages = kept_pages_;
  // Processes and modules come and go between the looks.
  Run("kill $gone && wait $gone; test -e /proc/$gone || echo "
      "CAME-AND-\"WENT\"; "
      "sleep 7004 & rmmod virtio_rng");
  EXPECT_THAT(host_->Console(name_), HasSubstr("CAME-AND-WENT"));
  const std::string nonce = Report("report-1");
  Run("insmod /lib/modules/qemu_fw_cfg.ko; sleep 7005 & sleep 1");
  Take(nonce);
  EXPECT_THAT(Contradictions(first, first_pages, "report-1"), IsEmpty());
  const std::string second = kept_;
  const std::string second_pages = kept_pages_;

  // A module that is not in the guest's own /proc/modules, a process that its
  // `ps` leaves out, and one that is in no list of tasks.
  KernelView view(*memory_);
  const auto& all = view.inspection.processes.processes;
  std::vector<int32_t> sleepers;
  for (const auto& process : all) {
    if (process.comm == "sleep" && process.uid == 0) {
      sleepers.push_back(process.pid);
    }
  }
  ASSERT_GE(sleepers.size(), 3U);
  const int32_t unlisted = sleepers[0];
  const int32_t untold = sleepers[1];
  KernelAttack attack(*memory_);
  testing::HideModule(attack, view, "qemu_fw_cfg");
  testing::HideTask(attack, view, unlisted);
  const std::string filter = fmt::format(" | grep -v '^ *{} '", untold);
  const std::string before = Report("report-2", filter);
  Take(before);
  const std::string third = kept_;
  const std::string third_pages = kept_pages_;
  const std::string after = Report("report-3", filter);
  Take(after);
  const std::vector<std::string> found =
      Contradictions(third, third_pages, "report-3", "report-2");
  EXPECT_THAT(
      found,
      ElementsAre(HasSubstr("module/qemu_fw_cfg: expected told of"),
                  HasSubstr(fmt::format("process/{} (sleep): expected told of",
                                        untold)),
                  HasSubstr(fmt::format(
                      "process/{} (sleep): expected in memory", unlisted))));
  // Looks that do not follow one another are not compared, and that is said.
  EXPECT_THAT(Contradictions(second, second_pages, "report-3"),
              ElementsAre(HasSubstr("guest-report")));
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, SemanticSnapshotTest,
    ::testing::Values(testing::kDebian12Kernel, testing::kDebian13Kernel),
    [](const ::testing::TestParamInfo<GuestKernel>& kernel) {
      return kernel.param.name == "6.1" ? "Linux6_1" : "Linux6_12";
    });

}  // namespace
}  // namespace vmattest
