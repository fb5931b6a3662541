// What a host writes to the trust ledger, on real parts: libvirtd with
// vmattest-hook, QEMU, swtpm, vmattestd with a ledger of its own; and with
// vmattest-verifierd as the ledger's node over TLS.
#include <csignal>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "crypto/digest.h"
#include "document/key_files.h"
#include "integration/launch_gate_bed.h"
#include "ledger/entry.h"
#include "ledger/tile_directory.h"
#include "support/verifier_process.h"

namespace vmattest {
namespace {

namespace fs = std::filesystem;

using ::testing::ContainsRegex;
using testing::DaemonProcess;
using testing::Eventually;
using testing::GateVm;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::kGateVmUuid;
using testing::Ran;
using testing::RunToEnd;
using testing::Slurp;

constexpr char kChanged[] = "quiet init=/bin/sh";

class LedgerOutboxTest : public testing::LaunchGateBed {
 protected:
  void Configure(const std::string& yaml) {
    fs::create_directories(daemon_->folder() / "conf.d");
    std::ofstream(daemon_->folder() / "conf.d/ledger.yaml") << yaml;
    RestartDaemon();
  }
  nlohmann::json Trust(const std::string& vm = kGateVmUuid) {
    const Ran ran = daemon_->Vmattest({"trust", vm, "--json"});
    return ran.exit_code == 0 ? nlohmann::json::parse(ran.out)
                              : nlohmann::json::object();
  }
  static int64_t Number(const nlohmann::json& trust, const char* field) {
    const auto it = trust.find(field);
    if (it == trust.end()) {
      return -1;
    }
    return it->is_string() ? std::stoll(it->get<std::string>())
                           : it->get<int64_t>();
  }
  int64_t Milli() { return Number(Trust(), "score_milli"); }
  // Has the daemon look at once: it does on SIGHUP, else every ten seconds.
  bool AwaitTold(const std::function<bool()>& seen) {
    return Eventually([this, &seen] {
      daemon_->Signal(SIGHUP);
      return seen();
    });
  }
  std::string LedgerHealth() {
    const Ran ran = daemon_->Vmattest({"status", "--json"});
    if (ran.out.empty()) {
      return "";
    }
    for (const auto& component : nlohmann::json::parse(ran.out).value(
             "components", nlohmann::json::array())) {
      if (component.value("name", "") == "ledger") {
        return component.value("serving", false)
                   ? "serving"
                   : component.value("detail", "");
      }
    }
    return "";
  }
  void KillDaemon() {
    daemon_->Signal(SIGKILL);
    daemon_->Wait();
  }
  // The records of what Audit() exported, one after another.
  std::string Exported() {
    std::string records;
    for (const auto& file : fs::recursive_directory_iterator(
             daemon_->folder() / "audit/log/tile/entries")) {
      records += file.is_regular_file() ? Slurp(file.path()) : "";
    }
    return records;
  }
  // How many of a host's entries there name its TPM's clock, and how many not.
  std::pair<size_t, size_t> TpmClocks() {
    std::pair<size_t, size_t> clocks;
    const auto records = ledger::DirectorySource::Reader(daemon_->folder() /
                                                         "audit/log")(0, 256);
    EXPECT_THAT(records, IsOk());
    for (const Bytes& record : records.value_or(std::vector<Bytes>())) {
      const auto entry =
          ledger::ParseEntry(ledger::ParseRecord(record).value().entry);
      if (!entry->by_document) {
        ++(entry->body.has_clock() ? clocks.first : clocks.second);
      }
    }
    return clocks;
  }
  // What is signed for is what an export has.
  static bool AllSigned(const fs::path& socket) {
    const Ran got = RunToEnd({DaemonProcess::CommandLine(), "call",
                              "vmattest.v1.Ledger/GetCheckpoint", "{}",
                              "--socket", socket.string()});
    const auto message = nlohmann::json::parse(got.out, nullptr, false);
    return message.is_object() && message.contains("committed") &&
           message["committed"] == message["witnessed"];
  }
  // Exits 0 only if everything in the log is as it must be.
  Ran Audit(const fs::path& store, const fs::path& policy,
            const fs::path& authority) {
    const fs::path folder = daemon_->folder() / "audit";
    fs::remove_all(folder);
    fs::create_directories(folder / "keys");
    const auto key = document::LoadPrivateKey(authority);
    EXPECT_THAT(key, IsOk());
    std::ofstream(folder / "keys/a.pub")
        << document::PublicKeyToJson(key->public_key());
    const Ran exported = RunToEnd(
        {DaemonProcess::CommandLine(), "ledger", "export", "--quiet", "--store",
         store.string(), "--out", (folder / "log").string()});
    EXPECT_EQ(exported.exit_code, 0) << exported.err;
    return RunToEnd({DaemonProcess::CommandLine(), "ledger", "audit",
                     (folder / "log").string(), "--policy", policy.string(),
                     "--authorities", (folder / "keys").string(), "--json",
                     "--quiet"});
  }
};

TEST_F(LedgerOutboxTest, AHostAloneHasALedgerWithScores) {
  // A daemon from before there was a ledger, with a VM that runs.
  Configure("ledger: {mode: \"off\"}\n");
  InstallHook();
  GateVm vm;
  Approve(vm);
  ASSERT_EQ(Start(), "") << daemon_->log();
  Configure("");
  ASSERT_TRUE(AwaitTold([this] {
    const nlohmann::json trust = Trust();
    return trust.value("running", false) && Number(trust, "passes") > 0;
  })) << daemon_->log();
  EXPECT_GT(Milli(), 99'000);
  EXPECT_TRUE(Trust().value("unwitnessed_ledger", false));
  // The client believes the policy's keys, not the daemon.
  const std::string policy = daemon_->folder() / "state/ledger/ledger.policy";
  Ran checked;
  EXPECT_TRUE(Eventually([&] {
    checked = daemon_->Vmattest({"trust", kGateVmUuid, "--policy", policy});
    return checked.out.find("in the log") != std::string::npos;
  })) << checked.out;
  EXPECT_EQ(checked.exit_code, 0) << checked.err;
  // The same on the read socket.
  const Ran read = RunToEnd({DaemonProcess::CommandLine(), "trust", kGateVmUuid,
                             "--socket", daemon_->read_socket().string()});
  EXPECT_EQ(read.exit_code, 0) << read.err;

  // Evidence that was given out is named; whoever asks for it moves no score.
  const fs::path evidence = daemon_->folder() / "evidence";
  ASSERT_EQ(
      daemon_->Vmattest({"attest", "--vm", "web", "--out", evidence.string()})
          .exit_code,
      0);
  const int64_t told = Number(Trust(), "passes");
  ASSERT_TRUE(AwaitTold([&] { return Number(Trust(), "passes") > told + 1; }));

  // What is backed up here is restored below.
  daemon_->Stop();
  const fs::path folder = daemon_->folder() / "state/ledger";
  fs::copy(folder, daemon_->folder() / "backup", fs::copy_options::recursive);
  daemon_->Start();
  ASSERT_TRUE(Eventually([&] { return Milli() > 0; })) << daemon_->log();

  Destroy();
  vm.cmdline = kChanged;
  Define(vm);
  const int64_t before = Milli();
  EXPECT_THAT(Start(), HasSubstr("gate-refused"));
  ASSERT_TRUE(Eventually([&] { return Milli() < before - 19'000; }))
      << daemon_->log();
  EXPECT_GT(Milli(), before - 21'000);
  EXPECT_EQ(LedgerHealth(), "serving");

  // Nothing is lost or told twice when the daemon dies.
  KillDaemon();
  daemon_->Start();
  ASSERT_TRUE(Eventually([&] { return Milli() > 0; })) << daemon_->log();
  EXPECT_LT(Milli(), before - 19'000);
  EXPECT_EQ(Number(Trust(), "fails"), 1);
  ASSERT_TRUE(AwaitTold([this] { return AllSigned(daemon_->admin_socket()); }));
  ASSERT_EQ(daemon_->Stop(), 0);
  const Ran audit = Audit(daemon_->folder() / "state/ledger/ledger.db", policy,
                          daemon_->folder() / "state/ledger/authority.json");
  EXPECT_EQ(audit.exit_code, 0) << audit.out << audit.err;
  EXPECT_THAT(audit.out, HasSubstr("\"attest-batch\""));
  EXPECT_THAT(audit.out, HasSubstr("\"launch-decision\""));
  EXPECT_THAT(audit.out, HasSubstr("\"host-event\""));
  EXPECT_GT(TpmClocks().first, 3U);
  EXPECT_EQ(TpmClocks().second, 0U);
  const std::string records = Exported();
  EXPECT_THAT(records, HasSubstr("daemon-started"));
  EXPECT_THAT(records, HasSubstr("host-booted"));
  EXPECT_THAT(records, HasSubstr("gate-taken-up"));
  EXPECT_THAT(records,
              HasSubstr(std::string(AsText(
                  Hash(HashAlgorithm::kSha256, AsBytes(Slurp(evidence)))))));

  // The ledger alone comes back from a backup: the TPM's log knows better.
  fs::remove_all(folder);
  fs::rename(daemon_->folder() / "backup", folder);
  daemon_->Start();
  ASSERT_TRUE(Eventually([this] {
    return LedgerHealth().find("rolled back") != std::string::npos;
  })) << LedgerHealth()
      << daemon_->log();
  EXPECT_NE(daemon_->Vmattest({"trust", kGateVmUuid}).exit_code, 0);
  // Until somebody says that it is known what is missing.
  const std::string health = LedgerHealth();
  const std::string had = health.substr(health.find("had ") + 4);
  std::ofstream(folder / "rollback-accepted") << had;
  RestartDaemon();
  ASSERT_TRUE(AwaitTold([this] { return LedgerHealth() == "serving"; }))
      << LedgerHealth();
  EXPECT_EQ(Number(Trust(), "fails"), 0);
}

TEST_F(LedgerOutboxTest, ABrokenGlassIsOnTheLedgerAsAFailure) {
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
  const Ran order = RunToEnd(
      {DaemonProcess::CommandLine(), "break-glass", "--vm", kGateVmUuid,
       "--host-id", host_id, "--reason", "the disk must be saved", "--key", key,
       "--out", (daemon_->folder() / "state/gate/break-glass/order").string()});
  ASSERT_EQ(order.exit_code, 0) << order.err;
  ASSERT_EQ(Start(), "") << daemon_->log();
  ASSERT_TRUE(AwaitTold([this] {
    return Trust().value("running", false) && Number(Trust(), "fails") >= 2;
  })) << Trust()
      << daemon_->log();
  // Behind a later batch, all that was told before is there.
  const int64_t told = Number(Trust(), "fails");
  ASSERT_TRUE(AwaitTold([&] {
    return Number(Trust(), "fails") > told + 1 &&
           AllSigned(daemon_->admin_socket());
  })) << daemon_->log();
  ASSERT_EQ(daemon_->Stop(), 0);
  const fs::path folder = daemon_->folder() / "state/ledger";
  const Ran audit = Audit(folder / "ledger.db", folder / "ledger.policy",
                          folder / "authority.json");
  EXPECT_EQ(audit.exit_code, 0) << audit.out << audit.err;
  EXPECT_THAT(Exported(), HasSubstr("break-glass"));
  EXPECT_THAT(Exported(), HasSubstr("the disk must be saved"));
}

// The ledger elsewhere.
class RemoteLedgerTest : public LedgerOutboxTest {
 protected:
  static constexpr char kOrigin[] = "ledger.example/bed";

  void SetUp() override {
    LaunchGateBed::SetUp();
    if (IsSkipped() || HasFatalFailure()) {
      return;
    }
    node_ =
        std::make_unique<testing::VerifierProcess>(pki_, maker_.ca_folder());
    node_->Configure(
        "ledger.yaml",
        fmt::format("ledger: {{node: true, origin: \"{}\"}}\n", kOrigin));
    RestartNode();
    InstallHook();
    Approve({});
    const testing::CertificateFiles client =
        pki_.IssueClient("host", testing::VerifierProcess::kHostUri);
    Configure(fmt::format(
        "ledger:\n  mode: remote\n  origin: \"{}\"\n  nodes: [\"{}\"]\n"
        "  max_queued: 16\n"
        "  policy: {}\n"
        "  tls: {{certificate: {}, private_key: {}, ca: {}}}\n",
        kOrigin, node_->address(), (node_->state() / "ledger.policy").string(),
        client.certificate.string(), client.private_key.string(),
        pki_.ca().string()));
  }
  void RestartNode() {
    node_->Kill();
    node_->Start();
  }
  // `vmattest ledger WORDS` as the Trust Authority.
  Ran Ledger(std::vector<std::string> words) {
    words.insert(words.begin(), {DaemonProcess::CommandLine(), "ledger"});
    words.insert(words.end(),
                 {"--log", kOrigin, "--signing-key",
                  (node_->state() / "authority.json").string(), "--socket",
                  (node_->state().parent_path() / "admin.sock").string()});
    return RunToEnd(words);
  }
  // Whether all that the node committed is in its checkpoint.
  bool AllSigned() {
    return LedgerOutboxTest::AllSigned(node_->state().parent_path() /
                                       "admin.sock");
  }
  void ExpectIdentitiesAndRules();
  void AuthoriseHost() {
    const fs::path anchors = daemon_->folder() / "anchors";
    fs::create_directories(anchors);
    ASSERT_EQ(daemon_
                  ->Vmattest({"host-identity", "--out",
                              (anchors / "host.json").string()})
                  .exit_code,
              0);
    const fs::path evidence =
        daemon_->folder() / "state/ledger/host-key.evidence";
    ASSERT_TRUE(AwaitTold([&] { return fs::exists(evidence); }))
        << daemon_->log();
    // Rule S33: not a byte of it may be another one.
    std::string changed = Slurp(evidence);
    changed[changed.size() / 2] ^= 1;
    std::ofstream(daemon_->folder() / "changed.evidence", std::ios::binary)
        << changed;
    const Ran refused =
        Ledger({"authorise", (daemon_->folder() / "changed.evidence").string(),
                "--anchors", anchors.string()});
    EXPECT_NE(refused.exit_code, 0);
    const Ran done =
        Ledger({"authorise", evidence.string(), "--anchors", anchors.string()});
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("host-authorise"));
  }

  testing::TestPki pki_;
  // For the certificates of its maker, which the node wants to have.
  testing::Swtpm maker_{testing::Swtpm::Setup::kEkCertificate};
  std::unique_ptr<testing::VerifierProcess> node_;
};

// Rule S31 and the score's rules, as the Trust Authority orders them.
void RemoteLedgerTest::ExpectIdentitiesAndRules() {
  const auto bind = [this](const char* vm) {
    return Ledger({"register", vm, "--owner", "alice", "--disk-lineage",
                   "golden-web", "--ek", std::string(64, 'a')});
  };
  const Ran bound = bind("00000000-0000-4000-8000-0000000000a1");
  EXPECT_EQ(bound.exit_code, 0) << bound.err;
  const Ran again = bind("00000000-0000-4000-8000-0000000000a2");
  EXPECT_NE(again.exit_code, 0);
  EXPECT_THAT(again.err, HasSubstr("ledger-vm-identity"));
  const Ran policy = Ledger({"policy", "--rules", "1", "--weight",
                             "gate-unregistered=0", "--weight", "silence=10"});
  EXPECT_EQ(policy.exit_code, 0) << policy.err;
  EXPECT_THAT(policy.out, HasSubstr("policy: record"));
  EXPECT_NE(Ledger({"policy", "--rules", "1", "--weight", "x=101"}).exit_code,
            0);
}

TEST_F(RemoteLedgerTest, WhatWaitsIsWrittenInOrderAndOnceWhoeverDies) {
  // Nobody authorised the host, nor registered the VM.
  EXPECT_THAT(Start(), HasSubstr("gate-unregistered"));
  ASSERT_TRUE(AwaitTold([this] {
    return LedgerHealth().find("authorise") != std::string::npos;
  })) << LedgerHealth()
      << daemon_->log();
  AuthoriseHost();
  const Ran registered = Ledger({"register", kGateVmUuid, "--owner", "alice"});
  ASSERT_EQ(registered.exit_code, 0) << registered.err;
  ExpectIdentitiesAndRules();
  ASSERT_TRUE(AwaitTold([this] { return LedgerHealth() == "serving"; }))
      << LedgerHealth();
  // Its first start here is a claim, and on the ledger before it runs.
  ASSERT_EQ(Start(), "") << daemon_->log();
  EXPECT_TRUE(Trust().value("running", false));
  ASSERT_TRUE(AwaitTold([this] { return Number(Trust(), "passes") > 0; }))
      << daemon_->log();
  // What it has seen of the ledger by the policy, not by the node's word.
  EXPECT_TRUE(AwaitTold([this] {
    return fs::exists(daemon_->folder() /
                      "state/ledger/ledger-seen.checkpoint");
  }));

  // The ledger goes away: what happens here waits, and the host says so.
  Destroy();
  node_->Kill();
  ASSERT_EQ(Start(), "") << daemon_->log();  // it lives here (rule S20)
  Destroy();
  GateVm changed;
  changed.cmdline = kChanged;
  Define(changed);
  const auto is_full = [this] {
    return LedgerHealth().find("(full)") != std::string::npos;
  };
  for (int i = 0; i < 24; ++i) {
    EXPECT_THAT(Start(), HasSubstr("gate-refused"));
  }
  ASSERT_TRUE(AwaitTold(is_full)) << LedgerHealth();
  EXPECT_THAT(LedgerHealth(), ContainsRegex("[0-9]+ entr(y|ies) waits? "));
  // With no room to write it down nothing starts; nor does kill -9 make room.
  Define({});
  EXPECT_THAT(Start(), HasSubstr("gate-ledger"));
  KillDaemon();
  daemon_->Start();
  ASSERT_TRUE(AwaitTold(is_full)) << LedgerHealth();
  EXPECT_THAT(Start(), HasSubstr("gate-ledger"));
  node_->Start();
  ASSERT_TRUE(AwaitTold([this] { return LedgerHealth() == "serving"; }))
      << LedgerHealth() << daemon_->log();
  // All that waited is there, before the VM's home moves.
  int64_t fails = -1;
  ASSERT_TRUE(AwaitTold([&] {
    const int64_t before = std::exchange(fails, Number(Trust(), "fails"));
    return before == fails && AllSigned();
  })) << daemon_->log();
  EXPECT_GE(fails, 8);
  EXPECT_LE(fails, 24);

  // S20: the Trust Authority says that it lives elsewhere.
  Define({});
  const Ran moved = Ledger(
      {"register", kGateVmUuid, "--owner", "alice", "--home", "another-host"});
  ASSERT_EQ(moved.exit_code, 0) << moved.err;
  EXPECT_THAT(Start(), HasSubstr("gate-home"));
  ASSERT_TRUE(AwaitTold([this] { return AllSigned(); }));
  node_->Kill();
  EXPECT_THAT(Start(), HasSubstr("gate-ledger"));
  const Ran audit =
      Audit(node_->state() / "ledger.db", node_->state() / "ledger.policy",
            node_->state() / "authority.json");
  EXPECT_EQ(audit.exit_code, 0) << audit.out << audit.err;
  // Two that were allowed; each refusal once, or merged into one that waited.
  EXPECT_THAT(audit.out,
              HasSubstr(fmt::format("\"launch-decision\":{}", fails + 2)));
}

}  // namespace
}  // namespace vmattest
