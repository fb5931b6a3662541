// Real guests' memory against their baselines, through the real programs: from
// the snapshot that an approver signs to a changed kernel word, named, told and
// acted upon.

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <regex>
#include <sstream>

#include "base/base64.h"
#include "base/handles.h"
#include "integration/launch_gate_bed.h"
#include "kvm/linux/process_scan.h"
#include "ledger/entry.h"
#include "nlohmann/json.hpp"
#include "support/https_receiver.h"
#include "support/kernel_attacks.h"
#include "support/test_node.h"
#include "support/verifier_site.h"

namespace vmattest {
namespace {

namespace fs = std::filesystem;

using testing::CertificateFiles;
using testing::DaemonProcess;
using testing::Eventually;
using testing::GateVm;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::KernelAttack;
using testing::KernelView;
using testing::kGateVmUuid;
using testing::LibvirtHost;
using testing::MemfdGuestMemory;
using ::testing::Not;
using testing::Ran;
using testing::RunToEnd;
using testing::VerifierSite;

constexpr std::string_view kNotAsItsBaseline = "memory is not as its baseline";

// The host's operator and the verifier's at their command lines.
class Operator {
 public:
  using Verifier = std::function<Ran(std::vector<std::string>)>;
  // `key` signs baselines of the VM "web". All must outlive it.
  Operator(DaemonProcess& daemon, Verifier verifier, fs::path folder,
           fs::path key)
      : daemon_(daemon),
        verifier_(std::move(verifier)),
        folder_(std::move(folder)),
        key_(std::move(key)) {}

  static std::string Run(std::vector<std::string> words) {
    words.insert(words.begin(), DaemonProcess::CommandLine());
    return Checked(RunToEnd(words));
  }
  std::string Host(const std::vector<std::string>& words) {
    return Checked(daemon_.Vmattest(words));
  }
  std::string AtVerifier(const std::vector<std::string>& words) {
    return Checked(verifier_(words));
  }
  // Into the file "e". Its id.
  std::string Capture(const std::string& policy,
                      const std::string& report = "") {
    std::vector<std::string> words = {"snapshot", "capture",  "--vm",
                                      "web",      "--policy", policy,
                                      "--out",    Path("e")};
    if (!report.empty()) {
      words.insert(words.end(), {"--guest-report", Path(report)});
    }
    const Ran ran = daemon_.Vmattest(words);
    EXPECT_EQ(ran.exit_code, 0) << ran.err << daemon_.log();
    return ran.err.substr(0, ran.err.find(' '));
  }
  void MakeBaseline(const std::string& policy, const char* revision = "1") {
    const std::string pages = Path("pages");
    Host({"snapshot", "get", "--vm", "web", "--id", Capture(policy), "--out",
          Path("e"), "--pages", pages});
    Run({"baseline", "set", Path("e"), pages, "--name", policy, "--revision",
         revision, "--out", Path("draft")});
    Run({"baseline", "approve", Path("draft"), "--key", key_, "--out",
         Path("document")});
    AtVerifier({"baseline", "import", Path("document"), pages});
    EXPECT_THAT(AtVerifier({"baseline", "list"}),
                HasSubstr(policy + "@" + revision));
  }
  // Into the file `name`: that the guest has the tasks of the last snapshot,
  // but not those called `unsaid`.
  void Report(const std::string& id, const std::string& name,
              const std::string& unsaid) {
    Host({"snapshot", "get", "--vm", "web", "--id", id, "--out", Path("e"),
          "--pages", Path("pages")});
    std::istringstream shown(Run({"snapshot", "show", Path("e"), "--pages",
                                  Path("pages"), "--records"}));
    const std::regex process("process/([1-9][0-9]*) .*comm=(\\S+)");
    std::ofstream tasks(Path("tasks"));
    std::smatch found;
    size_t told = 0;
    for (std::string line; std::getline(shown, line);) {
      if (std::regex_search(line, found, process) && found[2] != unsaid) {
        tasks << found[1] << " " << found[2] << "\n";
        ++told;
      }
    }
    tasks.close();
    EXPECT_GT(told, 10U);
    Run({"baseline", "guest-report", "--after", Path("e"), "--tasks",
         Path("tasks"), "--out", Path(name)});
  }
  // How often the log has it.
  [[nodiscard]] size_t Told(std::string_view text) const {
    const std::string log = daemon_.log();
    size_t count = 0;
    for (size_t at = 0; (at = log.find(text, at)) != log.npos; ++at) {
      ++count;
    }
    return count;
  }
  bool AwaitTold(std::string_view text, size_t more_than = 0) {
    return Eventually([&] { return Told(text) > more_than; });
  }
  // Takes one, and waits until it is told of.
  void CaptureAlarming(const std::string& policy, std::string_view reaction) {
    const size_t before = Told(reaction);
    Capture(policy);
    EXPECT_TRUE(AwaitTold(reaction, before)) << daemon_.log();
  }
  // A decision about that baseline: its number, 0 for none.
  uint64_t Decision(const std::string& word, const std::string& baseline) {
    const std::string all = AtVerifier({"decisions", "list"});
    for (size_t at = 0; at < all.size();) {
      const size_t end = std::min(all.find('\n', at), all.size());
      const std::string line = all.substr(at, end - at);
      if (line.find(" " + word + " ") != line.npos &&
          line.find("baseline:" + baseline) != line.npos) {
        return std::stoull(line);
      }
      at = end + 1;
    }
    return 0;
  }
  bool AwaitTrusted(const std::string& baseline) {
    return Eventually([&] { return Decision("trusted", baseline) > 0; });
  }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return folder_ / name;
  }

 private:
  static std::string Checked(const Ran& ran) {
    EXPECT_EQ(ran.exit_code, 0) << ran.out << ran.err;
    return ran.out;
  }

  DaemonProcess& daemon_;
  const Verifier verifier_;
  const fs::path folder_;
  const fs::path key_;
};

constexpr std::string_view kKernelPolicy = R"(
id: kernel
version: 1
consistency: {mode: paused, pause_budget_ms: 10000}
regions:
  - {name: text, severity: critical, kernel: {parts: [text]}}
  - {name: tables, severity: critical, kernel: {parts: [idt, syscall_table]}}
  - {name: rodata, severity: high, kernel: {parts: [rodata]}}
  - {name: tasks, tasks: {fields: [pid, comm, uid]}}
schedule: {every_seconds: 5, jitter_percent: 20}
reaction: {action: pause, below_score: 60}
)";
constexpr std::string_view kTasksPolicy = R"(
id: tasks
version: 1
regions:
  - {name: tasks, severity: low, tasks: {fields: [pid, comm]}}
)";
constexpr std::string_view kMomentPolicy = R"(
id: moment
version: 1
consistency: {mode: point-in-time}
regions:
  - {name: text, severity: critical, kernel: {parts: [text]}}
  - {name: tables, severity: critical, kernel: {parts: [idt, syscall_table]}}
reaction: {action: destroy, below_score: 60}
)";

// A Linux guest, and a verifier elsewhere.
class LinuxBaselineTest : public ::testing::Test {
 protected:
  static constexpr char kVm[] = "00000000-0000-4000-8000-00000000ba5e";

  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("baseline"));
    fs::create_directories(Path("policies"));
    fs::create_directories(Path("anchors"));
    std::ofstream(Path("policies/kernel.yaml")) << kKernelPolicy;
    std::ofstream(Path("policies/moment.yaml")) << kMomentPolicy;
    std::ofstream(Path("policies/tasks.yaml")) << kTasksPolicy;
    ConfigureWebhook();
    site_.StartHost(
        host_->uri(),
        fmt::format("kvm: {{libvirt_run_dir: {0}/host/run/qemu}}\n"
                    "memory: {{enabled: true, policies: {0}/policies}}\n"
                    "metrics: {{address: \"127.0.0.1:{1}\"}}\n",
                    host_->folder().string(), metrics_port_));
    ASSERT_TRUE(site_.daemon->AwaitServing()) << site_.Logs();
    ASSERT_TRUE(site_.AwaitEnrolled()) << site_.Logs();
    operator_ = std::make_unique<Operator>(
        *site_.daemon,
        [this](const auto& words) { return site_.verifier.Vmattest(words); },
        host_->folder(), site_.verifier.approver());
    ASSERT_OK_AND_ASSIGN(
        const auto xml,
        host_->MakeDomain(
            "web", {"backing=memfd", "mem=256", "machine=pc",
                    "uuid=" + std::string(kVm), "cmdline=no_timer_check"}));
    ASSERT_THAT(host_->Virsh({"create", xml}), IsOk());
    ASSERT_TRUE(host_->AwaitConsole("web", "GUEST-READY"))
        << host_->Console("web");
  }
  void ConfigureWebhook() {
    const CertificateFiles server = site_.pki.IssueServer();
    receiver_ = std::make_unique<testing::HttpsReceiver>(server.certificate,
                                                         server.private_key);
    std::ofstream(Path("secret")) << "a secret of thirty-two bytes, or so";
    fs::permissions(Path("secret"), fs::perms::owner_read);
    site_.verifier.Configure(
        "60-webhook.yaml",
        fmt::format("verification: {{webhook: {{url: \"{}\", secret_file: {}, "
                    "ca: {}}}}}\n",
                    receiver_->url(), Path("secret"), site_.pki.ca().string()));
    site_.verifier.Kill();
    site_.verifier.Start();
  }
  std::unique_ptr<MemfdGuestMemory> OpenMemory() {
    const auto process = kvm::FindDomainProcess(
        "web", kVm, host_->folder() / "host/run/qemu", "/proc");
    EXPECT_THAT(process.status(), IsOk());
    auto memory = MemfdGuestMemory::Open(process->pid);
    EXPECT_THAT(memory.status(), IsOk());
    return *std::move(memory);
  }
  std::string State() {
    return host_->Virsh({"domstate", "web"}).value_or("gone");
  }
  std::string Metrics() const {
    return RunToEnd({"bash", "-c",
                     fmt::format("exec 3<>/dev/tcp/127.0.0.1/{}; printf "
                                 "'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; "
                                 "cat <&3",
                                 metrics_port_)})
        .out;
  }
  void ExpectReportsAreCompared();
  bool IsWebhookTold(const std::string& what) {
    return Eventually([&] {
      for (const std::string& request : receiver_->requests()) {
        if (request.find(what) != request.npos) {
          return true;
        }
      }
      return false;
    });
  }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return host_->folder() / name;
  }

  VerifierSite site_;
  const uint16_t metrics_port_ = testing::UnusedPort();
  std::unique_ptr<LibvirtHost> host_;
  std::unique_ptr<testing::HttpsReceiver> receiver_;
  std::unique_ptr<Operator> operator_;
};

// With the verifier that is elsewhere, which saw the snapshot before the
// report.
void LinuxBaselineTest::ExpectReportsAreCompared() {
  Operator& op = *operator_;
  op.MakeBaseline("tasks");
  const auto capture = [&op](const char* word, const std::string& report) {
    const uint64_t before = op.Decision(word, "tasks@1");
    const std::string id = op.Capture("tasks", report);
    EXPECT_TRUE(Eventually([&] {
      return op.Decision(word, "tasks@1") > before;
    })) << word
        << op.AtVerifier({"decisions", "list"});
    return id;
  };
  op.Report(capture("trusted", ""), "whole", "");
  op.Report(capture("trusted", "whole"), "lie", "init");
  const size_t told = op.Told("process/1 (init)");
  capture("REFUSED", "lie");
  EXPECT_TRUE(op.AwaitTold("process/1 (init)", told)) << site_.Logs();
}

TEST_F(LinuxBaselineTest, AHookedSystemCallIsNamedToldAndEndsTheGuest) {
  Operator& op = *operator_;
  EXPECT_TRUE(op.AwaitTold("nothing to be compared with"))
      << "a schedule without a baseline: " << site_.Logs();
  // One moment, through daemon and command line, while nobody else has the
  // guest mapped.
  op.MakeBaseline("moment");
  op.Host({"host-identity", "--out", Path("anchors/host.json")});
  const std::string verified = Operator::Run(
      {"verify", Path("e"), "--anchors", Path("anchors"), "--min-consistency",
       "point-in-time", "--refuse-findings", "high", "--subset", "moment@1"});
  EXPECT_THAT(verified, HasSubstr("point-in-time"));
  op.Capture("moment");
  EXPECT_TRUE(op.AwaitTrusted("moment@1")) << site_.Logs();
  op.MakeBaseline("kernel");
  EXPECT_TRUE(op.AwaitTrusted("kernel@1")) << "the schedule: " << site_.Logs();
  EXPECT_EQ(op.Told(kNotAsItsBaseline), 0U) << site_.Logs();
  EXPECT_THAT(State(), HasSubstr("running"));
  ExpectReportsAreCompared();
  const uint64_t before = std::max(op.Decision("trusted", "kernel@1"),
                                   op.Decision("REFUSED", "tasks@1"));

  const std::unique_ptr<MemfdGuestMemory> memory = OpenMemory();
  KernelView view(*memory);
  KernelAttack attack(*memory);
  const size_t told = op.Told(kNotAsItsBaseline);  // of the report that lied
  testing::HookSystemCall(attack, view, 62);
  // The next one of the schedule finds it.
  ASSERT_TRUE(op.AwaitTold(kNotAsItsBaseline, told)) << site_.Logs();
  EXPECT_TRUE(
      Eventually([&] { return State().find("paused") != std::string::npos; }));
  EXPECT_THAT(site_.daemon->log(), HasSubstr("syscall/62"));
  EXPECT_GT(op.Decision("REFUSED", "kernel@1"), before);
  const std::string alert =
      op.AtVerifier({"decisions", "watch", "--after", std::to_string(before),
                     "--count", "1", "--json"});
  EXPECT_THAT(alert, HasSubstr("syscall/62"));
  EXPECT_TRUE(IsWebhookTold("syscall/62")) << site_.Logs();
  EXPECT_TRUE(Eventually([this] {
    return Metrics().find("vmattest_memory_reactions_total 1") !=
           std::string::npos;
  })) << Metrics();
  const std::string metrics = Metrics();
  EXPECT_THAT(metrics, Not(HasSubstr("vmattest_snapshots_trusted_total 0")));
  EXPECT_THAT(metrics, Not(HasSubstr("vmattest_snapshots_refused_total 0")));
  EXPECT_THAT(metrics, Not(HasSubstr("vmattest_memory_alerts_total 0")));
  EXPECT_TRUE(Eventually([&] {
    op.Host({"eventlog", "export", "--out", Path("events")});
    return Operator::Run({"eventlog", "show", Path("events")})
               .find("memory-alert") != std::string::npos;
  }));

  op.CaptureAlarming("moment", "destroyed");
  EXPECT_THAT(State(), HasSubstr("gone"));
}

constexpr std::string_view kLowPolicy = R"(
id: {0}
version: 1
regions:
  - name: low
    severity: critical
    physical: {{ranges: [{{begin: 0x100000, end: 0x800000}}]}}
{1}
)";

// A VM that came through the launch gate, the verifier of its own daemon, and
// that daemon's ledger.
class GatedBaselineTest : public testing::LaunchGateBed {
 protected:
  static constexpr uint64_t kMib = 16;

  void SetUp() override {
    LaunchGateBed::SetUp();
    if (IsSkipped() || HasFatalFailure()) {
      return;
    }
    fs::create_directories(host_->folder() / "policies");
    const auto policy = [this](const char* id, const char* more) {
      Write(std::string("policies/") + id + ".yaml",
            fmt::format(kLowPolicy, id, more));
    };
    policy("watched", "schedule: {every_seconds: 5, jitter_percent: 20}");
    policy("trying",
           "reaction: {action: destroy, below_score: 90, dry_run: true}");
    policy("cutting", "reaction: {action: isolate, below_score: 90}");
    policy("pausing", "reaction: {action: pause, below_score: 90}");
    Operator::Run({"key", "generate", "--name", "alice", "--out",
                   host_->folder() / "alice", "--ml-dsa", "none"});
    fs::copy_file(host_->folder() / "alice.pub",
                  host_->folder() / "approvers/alice.pub");
    fs::create_directories(daemon_->folder() / "conf.d");
    std::ofstream(daemon_->folder() / "conf.d/memory.yaml") << fmt::format(
        "kvm: {{libvirt_run_dir: {0}/host/run/qemu}}\n"
        "memory: {{enabled: true, policies: {0}/policies}}\n"
        "verification: {{enabled: true, post_quantum: \"off\", approvers: "
        "{0}/approvers}}\n"
        "ledger: {{mode: embedded}}\n",
        host_->folder().string());
    RestartDaemon();
    operator_ = std::make_unique<Operator>(
        *daemon_,
        [this](std::vector<std::string> words) {
          words.insert(words.begin(), DaemonProcess::CommandLine());
          words.insert(words.end(),
                       {"--verifier-socket", daemon_->admin_socket().string()});
          return RunToEnd(words);
        },
        host_->folder(), host_->folder() / "alice");
  }
  // Bytes of the guest's RAM, past everybody.
  void Poke(uint64_t address, const std::string& bytes) {
    const auto process = kvm::FindDomainProcess(
        "web", kGateVmUuid, host_->folder() / "host/run/qemu", "/proc");
    ASSERT_THAT(process.status(), IsOk());
    const std::string proc = fmt::format("/proc/{}/", process->pid);
    std::ifstream maps(proc + "maps");
    uint64_t begin = 0;
    for (std::string line; std::getline(maps, line);) {
      const uint64_t from = std::stoull(line, nullptr, 16);
      const uint64_t to =
          std::stoull(line.substr(line.find('-') + 1), nullptr, 16);
      if (to - from == kMib << 20 && line.find("memfd") != line.npos) {
        begin = from;
      }
    }
    ASSERT_NE(begin, 0U);
    const UniqueFd memory(open((proc + "mem").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(pwrite(memory.get(), bytes.data(), bytes.size(),
                     static_cast<off_t>(begin + address)),
              static_cast<ssize_t>(bytes.size()));
  }
  std::string Virsh(const std::vector<std::string>& words) {
    return host_->Virsh(words).value_or("");
  }
  int64_t Trust(const char* field) {
    const Ran ran = daemon_->Vmattest({"trust", kGateVmUuid, "--json"});
    const auto json = nlohmann::json::parse(ran.out, nullptr, false);
    if (!json.is_object() || !json.contains(field)) {
      return -1;
    }
    return json[field].is_string() ? std::stoll(json[field].get<std::string>())
                                   : json[field].get<int64_t>();
  }
  // What the ledger has about the VM's memory: outcomes and reasons.
  std::vector<v1::LedgerAttestResult> MemoryResults() {
    const Ran ran =
        daemon_->Vmattest({"call", "vmattest.v1.Ledger/ListHistory",
                           fmt::format(R"({{"vm_uuid": "{}"}})", kGateVmUuid)});
    std::vector<v1::LedgerAttestResult> results;
    const auto json = nlohmann::json::parse(ran.out, nullptr, false);
    EXPECT_TRUE(json.is_object()) << ran.out << ran.err;
    for (const auto& item : json.value("items", nlohmann::json::array())) {
      const Bytes bytes =
          ParseBase64(item.at("record").get<std::string>()).value_or(Bytes());
      const auto record = ledger::ParseRecord(bytes);
      const auto entry = ledger::ParseEntry(
          record.ok() ? ByteView(record->entry) : ByteView());
      EXPECT_THAT(entry.status(), IsOk());
      if (entry.ok() &&
          entry->body.attest_result().check() == v1::LEDGER_CHECK_MEMORY) {
        results.push_back(entry->body.attest_result());
      }
    }
    return results;
  }
  bool AwaitMemoryResult(v1::LedgerOutcome outcome, const std::string& reason) {
    return Eventually([&] {
      for (const v1::LedgerAttestResult& result : MemoryResults()) {
        if (result.outcome() == outcome && result.reason() == reason &&
            result.evidence_hash().size() == 32 &&
            result.result_hash().size() == 32) {
          return true;
        }
      }
      return false;
    });
  }
  // Requirement 004's request, with what differs from a good one.
  Ran AttestState(const std::string& timestamp, const std::string& subset) {
    return daemon_->Vmattest(
        {"call", "vmattest.v1.Memory/AttestState",
         fmt::format(R"({{"vm": "web", "timestamp_unix_ms": "{}", )"
                     R"("algorithm": "HASH_ALGORITHM_SHA256", "subset": "{}", )"
                     R"("nonce": "AAAAAAAAAAAAAAAAAAAAAA=="}})",
                     timestamp, subset)});
  }
  void ExpectStateAttested() {
    const int64_t now = SystemClock().Now().time_since_epoch().count();
    const Ran ran = AttestState(std::to_string(now), "trying@1");
    ASSERT_EQ(ran.exit_code, 0) << ran.err;
    const auto answer = nlohmann::json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(answer.is_object() && answer.contains("evidence")) << ran.out;
    EXPECT_EQ(answer.at("vmUuid"), kGateVmUuid);
    EXPECT_EQ(answer.at("subset"), "trying@1");
    EXPECT_EQ(answer.at("algorithm"), "HASH_ALGORITHM_SHA256");
    const int64_t then =
        std::stoll(answer.at("timestampUnixMs").get<std::string>());
    EXPECT_GE(then, now);
    const auto decoded = [&](const char* field) {
      return ParseBase64(answer.at(field).get<std::string>()).value_or(Bytes());
    };
    Write("state", std::string(AsText(decoded("evidence"))));
    fs::create_directories(host_->folder() / "anchors");
    operator_->Host(
        {"host-identity", "--out", host_->folder() / "anchors/host.json"});
    const std::string verified = Operator::Run(
        {"verify", host_->folder() / "state", "--anchors",
         host_->folder() / "anchors", "--subset", "trying@1", "--nonce",
         std::string(32, '0'), "--max-age", "300", "--json"});
    EXPECT_THAT(verified, HasSubstr(ToHex(decoded("hash"))));
    EXPECT_THAT(AttestState("1", "trying@1").err,
                HasSubstr("TIMESTAMP_OUT_OF_WINDOW"));
    EXPECT_THAT(AttestState(std::to_string(now), "trying@2").err,
                HasSubstr("SUBSET_NOT_FOUND"));
  }

  std::unique_ptr<Operator> operator_;
};

TEST_F(GatedBaselineTest, VerdictsAreOnTheLedgerAndReactionsKeepTheirMeasure) {
  Operator& op = *operator_;
  InstallHook();
  GateVm vm;
  vm.end =
      "<memoryBacking><source type='memfd'/><access mode='shared'/>"
      "</memoryBacking>";
  Approve(vm);
  ASSERT_EQ(Start(), "") << daemon_->log();
  ExpectStateAttested();
  for (const char* policy : {"trying", "cutting", "pausing", "watched"}) {
    op.MakeBaseline(policy);
  }
  EXPECT_TRUE(op.AwaitTrusted("watched@1")) << daemon_->log();
  EXPECT_TRUE(AwaitMemoryResult(v1::LEDGER_OUTCOME_PASS, "")) << daemon_->log();
  EXPECT_EQ(op.Told(kNotAsItsBaseline), 0U) << daemon_->log();
  EXPECT_EQ(Trust("fails"), 0);

  Poke(0x345678, "rootkit");
  ASSERT_TRUE(op.AwaitTold("low: physical 0x345000")) << daemon_->log();
  EXPECT_TRUE(AwaitMemoryResult(v1::LEDGER_OUTCOME_FAIL, "baseline-score"))
      << daemon_->log();
  EXPECT_GT(Trust("fails"), 0);
  op.CaptureAlarming("trying", "would destroy");
  EXPECT_THAT(State(), HasSubstr("running"));
  op.CaptureAlarming("pausing", R"(reaction="paused")");
  EXPECT_THAT(State(), HasSubstr("paused"));

  // Once an hour, also over a restart.
  EXPECT_THAT(host_->Virsh({"resume", "web"}), IsOk());
  op.CaptureAlarming("pausing", "not paused: at most 1 per hour");
  RestartDaemon();
  op.CaptureAlarming("pausing", "not paused: at most 1 per hour");
  EXPECT_THAT(State(), HasSubstr("running")) << daemon_->log();

  // Links that the daemon took down are no drift to its gate, nor to that of
  // the next daemon. A taint is looked for last: that it is what is named shows
  // that nothing else was.
  op.CaptureAlarming("cutting", "links down");
  EXPECT_THAT(Virsh({"dumpxml", "web"}), HasSubstr("<link state='down'/>"));
  RestartDaemon();
  EXPECT_THAT(State(), HasSubstr("running")) << daemon_->log();
  Virsh({"qemu-monitor-command", "web", "--hmp", "info status"});
  EXPECT_TRUE(Eventually([&] {
    return State().find("paused") != std::string::npos;
  })) << daemon_->log();
  ASSERT_TRUE(op.AwaitTold("not what was approved")) << daemon_->log();
  EXPECT_EQ(op.Told("not what was approved"), 1U) << daemon_->log();
  EXPECT_GT(op.Told("custom monitor"), 0U) << daemon_->log();
  EXPECT_EQ(op.Told("link/state"), 0U) << daemon_->log();

  // Of another run there is nothing to compare: its pages are others.
  Destroy();
  ASSERT_EQ(Start(), "") << daemon_->log();
  const size_t alerts = op.Told(kNotAsItsBaseline);
  op.CaptureAlarming("trying", "baseline-other-run");
  EXPECT_EQ(op.Told(kNotAsItsBaseline), alerts);
}

}  // namespace
}  // namespace vmattest
