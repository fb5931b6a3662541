#include "config/daemon_config.h"

#include "config/daemon_schema.h"
#include "fmt/format.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using testing::TempDir;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class DaemonConfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<DaemonConfig> Load(std::string_view text,
                                    const Environment& environment = {}) {
    file_ = dir_.Write("vmattestd.yaml", text);
    return LoadDaemonConfig(file_, environment);
  }

  TempDir dir_;
  std::filesystem::path file_;
};

TEST_F(DaemonConfigTest, EmptyFileGivesTheDefaults) {
  ASSERT_OK_AND_ASSIGN(const DaemonConfig config, Load(""));
  EXPECT_EQ(config.state_dir, "/var/lib/vmattest");
  EXPECT_EQ(config.admin_socket, "/run/vmattest/admin.sock");
  EXPECT_EQ(config.read_socket, "/run/vmattest/read.sock");
  EXPECT_FALSE(config.tcp.has_value());
  EXPECT_THAT(config.pcrs, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 13));
  EXPECT_EQ(config.log_pcr, 13u);
  EXPECT_EQ(config.key_auth_file, "/var/lib/vmattest/key-auth");
  EXPECT_TRUE(config.create_key_auth);
  EXPECT_TRUE(config.digest_cache);
  EXPECT_EQ(config.content, Content::kChain);
}

TEST_F(DaemonConfigTest, GuestsMayAskForNothingUntilTheOperatorSaysSo) {
  ASSERT_OK_AND_ASSIGN(const DaemonConfig none, Load(""));
  EXPECT_FALSE(none.memory.guest_requests.enabled);
  EXPECT_THAT(none.memory.guest_requests.policies, ::testing::IsEmpty());
  ASSERT_OK_AND_ASSIGN(
      const DaemonConfig config,
      Load("memory: {enabled: true, guest_requests: {enabled: true, "
           "policies: [linux-kernel, low]}}\n"));
  EXPECT_TRUE(config.memory.guest_requests.enabled);
  EXPECT_EQ(config.memory.guest_requests.min_interval_seconds, 60U);
  EXPECT_THAT(config.memory.guest_requests.policies,
              ElementsAre("linux-kernel", "low"));
}

TEST_F(DaemonConfigTest, RulesForGuestsRequestsThatAreNoneAreNamed) {
  const auto refused = [this](std::string_view memory, const char* what) {
    EXPECT_THAT(Load(fmt::format("memory: {{{}}}\n", memory)),
                StatusIs(kInvalid, HasSubstr(what)));
  };
  refused("enabled: true, guest_requests: {enabled: true}",
          "memory.guest_requests.policies: must name");
  refused("guest_requests: {enabled: true, policies: [a]}",
          "memory.guest_requests.enabled: needs memory.enabled");
  refused("guest_requests: {policies: [a, b, a]}",
          "memory.guest_requests.policies[2]: 'a' is named twice");
  refused("guest_requests: {policies: [\"\"]}",
          "memory.guest_requests.policies[0]");
  refused("guest_requests: {min_interval_seconds: 0}",
          "memory.guest_requests.min_interval_seconds");
}

constexpr std::string_view kRemote =
    "verifier: {certificate: /c, private_key: /k, ca: /a, server_name: v}\n";

TEST_F(DaemonConfigTest, GateAsksTheVerifierThatThisHostEnrolsWith) {
  ASSERT_OK_AND_ASSIGN(
      const DaemonConfig config,
      Load(std::string(kRemote) +
           "gate: {verifier: \"v.example:9444\", verifier_keys: [/keys]}\n"));
  EXPECT_EQ(config.gate.verifier, "v.example:9444");
  EXPECT_THAT(config.gate.verifier_keys, ElementsAre("/keys"));
  ASSERT_TRUE(config.verifier.has_value());
  EXPECT_EQ(config.verifier->address, "v.example:9444");
  EXPECT_EQ(config.verifier->server_name, "v");
  ASSERT_OK_AND_ASSIGN(const DaemonConfig embedded, Load(""));
  EXPECT_FALSE(embedded.gate.verifier.has_value());
}

TEST_F(DaemonConfigTest, AVerifierOfTheGateWithoutPinnedKeysOrTlsIsRefused) {
  const auto refused = [this](std::string_view head, std::string_view gate,
                              const char* key) {
    EXPECT_THAT(Load(fmt::format("{}gate: {{{}}}\n", head, gate)),
                StatusIs(kInvalid, HasSubstr(key)));
  };
  refused(kRemote, "verifier: \"v:1\"", "gate.verifier_keys: must name");
  refused("", "verifier: \"v:1\", verifier_keys: [/k]", "gate.verifier: needs");
  refused(kRemote, "verifier: v, verifier_keys: [/k]", "must be HOST:PORT");
  refused("", "verifier_keys: [/k]", "a key of its own");
  refused(kRemote, "verifier: \"v:1\", verifier_keys: [k]",
          "gate.verifier_keys[0]");
  refused(
      "verifier: {address: \"w:1\", certificate: /c, private_key: /k, ca: "
      "/a}\n",
      "verifier: \"v:1\", verifier_keys: [/k]", "must be verifier.address");
}

TEST_F(DaemonConfigTest, TheGatesVerifierIsTheOneThatIsServed) {
  ASSERT_OK_AND_ASSIGN(const DaemonConfig unserved,
                       Load("gate: {enabled: true, approvers: /a}\n"
                            "signing: {module: /m}\n"));
  EXPECT_FALSE(unserved.verification.has_value());
  EXPECT_EQ(unserved.verifier_stack.approvers, "/a");
  EXPECT_EQ(unserved.verifier_stack.module, "/m");
  EXPECT_THAT(Load("gate: {enabled: true, approvers: /a}\n"
                   "verification: {enabled: true, approvers: /b}\n"),
              StatusIs(kInvalid, HasSubstr("must be verification.approvers")));
  EXPECT_THAT(Load("gate: {enabled: true, approvers: /a}\n"
                   "verification: {enabled: true, approvers: /a}\n"),
              testing::IsOk());
}

TEST_F(DaemonConfigTest, DropInsWinInTheOrderOfTheirNamesEnvironmentLast) {
  std::filesystem::create_directory(dir_.path() / "conf.d");
  dir_.Write("conf.d/20-b.yaml", "log_level: error\n");
  dir_.Write("conf.d/10-a.yaml", "log_level: debug\nlibvirt: {uri: a}\n");
  dir_.Write("conf.d/30-c.yaml.bak", "no: such key\n");
  ASSERT_OK_AND_ASSIGN(const DaemonConfig config,
                       Load("log_level: warning\nlibvirt: {uri: main}\n"));
  EXPECT_EQ(config.log_level, "error");
  EXPECT_EQ(config.libvirt_uri, "a");
  ASSERT_OK_AND_ASSIGN(const DaemonConfig overridden,
                       Load("", {{"VMATTEST_LIBVIRT__URI", "env"}}));
  EXPECT_EQ(overridden.libvirt_uri, "env");
}

TEST_F(DaemonConfigTest, ErrorInADropInNamesTheDropIn) {
  std::filesystem::create_directory(dir_.path() / "conf.d");
  const auto drop_in = dir_.Write("conf.d/10.yaml", "\ntpm:\n  log_pcr: 16\n");
  EXPECT_THAT(
      Load(""),
      StatusIs(kInvalid, fmt::format("{}:3: tpm.log_pcr: must not be 16: it "
                                     "can be reset while the host runs",
                                     drop_in.string())));
}

TEST_F(DaemonConfigTest, MissingFileIsNotFound) {
  EXPECT_THAT(LoadDaemonConfig(dir_.path() / "none.yaml", {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.yaml")));
}

TEST_F(DaemonConfigTest, SecretsComeFromSystemdsCredentials) {
  const auto credential = dir_.Write("vmattest.key-auth", "x");
  const Environment environment = {
      {"CREDENTIALS_DIRECTORY", dir_.path().string()}};
  ASSERT_OK_AND_ASSIGN(const DaemonConfig automatic, Load("", environment));
  EXPECT_EQ(automatic.key_auth_file, credential);
  EXPECT_FALSE(automatic.create_key_auth);
  ASSERT_OK_AND_ASSIGN(
      const DaemonConfig named,
      Load("tpm: {owner_auth_file: '${CREDENTIALS_DIRECTORY}/owner'}",
           environment));
  EXPECT_EQ(named.owner_auth_file, dir_.path() / "owner");
  EXPECT_THAT(
      Load("tpm: {owner_auth_file: '${CREDENTIALS_DIRECTORY}/owner'}"),
      StatusIs(kInvalid, HasSubstr("tpm.owner_auth_file: systemd gave no")));
}

TEST_F(DaemonConfigTest, KeyAuthOutsideTheStateFolderIsNeverMade) {
  ASSERT_OK_AND_ASSIGN(
      const DaemonConfig outside,
      Load("state_dir: /s\ntpm: {key_auth_file: /s/../etc/a}"));
  EXPECT_FALSE(outside.create_key_auth);
  ASSERT_OK_AND_ASSIGN(const DaemonConfig inside,
                       Load("state_dir: /s\ntpm: {key_auth_file: /s/k}"));
  EXPECT_TRUE(inside.create_key_auth);
}

TEST_F(DaemonConfigTest, ReadsClientGrants) {
  ASSERT_OK_AND_ASSIGN(const DaemonConfig config, Load(R"(
listen:
  tcp:
    address: 0.0.0.0:9443
    certificate: /c
    private_key: /k
    client_ca: /a
    clients:
      - identity: spiffe://e/op
        role: admin
        vms: ["*"]
      - identity: spiffe://e/tenant
        role: read
        vms: [8d3e43d1-3c1e-4ae6-b9f3-2f7cf3b8d7a1]
)"));
  ASSERT_TRUE(config.tcp.has_value());
  EXPECT_EQ(config.tcp->clients[0].role, "admin");
  EXPECT_TRUE(config.tcp->clients[0].all_vms);
  EXPECT_FALSE(config.tcp->clients[1].all_vms);
  EXPECT_EQ(ToString(config.tcp->clients[1].vms.at(0)),
            "8d3e43d1-3c1e-4ae6-b9f3-2f7cf3b8d7a1");
}

TEST_F(DaemonConfigTest, ReadsTheGatesStore) {
  ASSERT_OK_AND_ASSIGN(const DaemonConfig config,
                       Load("gate:\n  store: [/boot, /usr/share/OVMF]\n"));
  EXPECT_THAT(config.gate.store, ElementsAre("/boot", "/usr/share/OVMF"));
}

TEST_F(DaemonConfigTest, AHostWithAGateKeepsALedgerUnlessNodesDo) {
  EXPECT_FALSE(Load("")->ledger.has_value());
  EXPECT_FALSE(Load("ledger: {mode: auto}")->ledger.has_value());
  ASSERT_OK_AND_ASSIGN(const DaemonConfig alone, Load("gate: {enabled: true}"));
  ASSERT_TRUE(alone.ledger.has_value());
  EXPECT_TRUE(alone.ledger->nodes.empty());
  EXPECT_TRUE(alone.ledger->one_home);
  EXPECT_FALSE(Load("gate: {enabled: true}\nledger: {mode: \"off\"}")
                   ->ledger.has_value());
  ASSERT_OK_AND_ASSIGN(const DaemonConfig remote,
                       Load("ledger: {mode: auto, nodes: [\"l:1\"], tls: "
                            "{certificate: /c, private_key: /k, "
                            "ca: /a}, any_home: true}"));
  ASSERT_TRUE(remote.ledger.has_value());
  EXPECT_THAT(remote.ledger->nodes, ElementsAre("l:1"));
  EXPECT_FALSE(remote.ledger->one_home);
}

TEST_F(DaemonConfigTest, ALedgerThatCannotBeIsNamed) {
  const auto refused = [this](const std::string& ledger,
                              const std::string& key) {
    EXPECT_THAT(Load("ledger: {" + ledger + "}\n"),
                StatusIs(kInvalid, HasSubstr(key)));
  };
  refused("mode: both", "ledger.mode: must be");
  refused("mode: remote", "ledger.nodes: a remote ledger needs");
  refused("mode: embedded, nodes: [\"l:1\"]", "ledger.nodes: an embedded");
  refused("mode: auto, nodes: [l]", "ledger.nodes[0]");
  refused("mode: auto, nodes: [\"l:1\"]", "ledger.tls: a remote ledger needs");
  refused("mode: embedded, origin: \"a b\"", "ledger.origin");
  refused("mode: embedded, owner: \"\"", "ledger.owner");
  refused("mode: embedded, batch_seconds: 0", "ledger.batch_seconds");
  refused("mode: embedded, policy: here", "ledger.policy");
}

TEST_F(DaemonConfigTest, AVerifiersRolesAreGivenOnlyWhereItOrALedgerIsServed) {
  const auto with = [](const std::string& role, const std::string& vms) {
    return fmt::format(
        "listen:\n  tcp:\n    address: h:1\n    certificate: /c\n"
        "    private_key: /k\n    client_ca: /a\n    clients:\n"
        "    - {{identity: 'a:b', role: {}{}}}\n",
        role, vms);
  };
  constexpr std::string_view kServed = "verification: {enabled: true}\n";
  for (const char* role : {"host", "customer", "auditor", "operator"}) {
    const std::string text =
        with(role, std::string(role) == "host" ? "" : ", vms: ['*']");
    EXPECT_THAT(Load(text),
                StatusIs(kInvalid, HasSubstr("must be read or admin")));
    ASSERT_OK_AND_ASSIGN(const DaemonConfig config,
                         Load(std::string(kServed) + text));
    EXPECT_EQ(config.tcp->clients[0].role, role);
    ASSERT_TRUE(config.verification.has_value());
    EXPECT_EQ(config.verification->keep_evidence, 4u);
  }
  // Ledger's roles are the same.
  EXPECT_THAT(Load("gate: {enabled: true}\n" + with("host", "")), IsOk());
  EXPECT_THAT(Load("gate: {enabled: true}\nledger: {mode: \"off\"}\n" +
                   with("host", "")),
              StatusIs(kInvalid, HasSubstr("must be read or admin")));
  EXPECT_THAT(Load(std::string(kServed) + with("root", ", vms: ['*']")),
              StatusIs(kInvalid, HasSubstr("admin, host, customer, auditor or "
                                           "operator")));
  EXPECT_THAT(Load(std::string(kServed) + with("host", ", vms: ['*']")),
              StatusIs(kInvalid, HasSubstr("list none")));
  EXPECT_THAT(Load("verification: {keep_evidence: 0}"),
              StatusIs(kInvalid, HasSubstr("verification.keep_evidence")));
  ASSERT_OK_AND_ASSIGN(const DaemonConfig alone, Load(""));
  EXPECT_FALSE(alone.verification.has_value());
}

TEST_F(DaemonConfigTest, EffectiveConfigurationLoadsToTheSame) {
  file_ = dir_.Write("a.yaml", "log_level: debug\ntpm: {tcti: \"swtpm:x\"}\n");
  ASSERT_OK_AND_ASSIGN(const std::string text, EffectiveConfig(file_, {}));
  EXPECT_THAT(text, HasSubstr("tcti: \"swtpm:x\""));
  const auto again = dir_.Write("b.yaml", text);
  ASSERT_OK_AND_ASSIGN(const std::string text_again,
                       EffectiveConfig(again, {}));
  EXPECT_EQ(text, text_again);
}

struct BadConfig {
  const char* text;
  const char* message;  // after the file's name
};

class BadDaemonConfig : public DaemonConfigTest,
                        public ::testing::WithParamInterface<BadConfig> {};

TEST_P(BadDaemonConfig, IsRefusedWithLineAndKey) {
  const absl::Status status = Load(GetParam().text).status();
  EXPECT_THAT(status, StatusIs(kInvalid,
                               HasSubstr(file_.string() + GetParam().message)))
      << GetParam().text;
}

const std::string kTcpHead =
    "listen:\n  tcp:\n    certificate: /c\n    private_key: /k\n"
    "    client_ca: /a\n";
const std::string kNoClients = kTcpHead + "    address: a:1\n";
const std::string kBadAddress =
    kTcpHead + "    address: a:99999\n    clients: [{identity: 'a:b'}]\n";
const std::string kBadIdentity =
    kNoClients +
    "    clients:\n    - {identity: bob, role: read, vms: ['*']}\n";
const std::string kBadRole =
    kNoClients +
    "    clients:\n    - {identity: 'a:b', role: root, vms: ['*']}\n";
const std::string kBadVm =
    kNoClients +
    "    clients:\n    - identity: a:b\n      role: read\n"
    "      vms: ['*', web]\n";
const std::string kNoVm =
    kNoClients + "    clients:\n    - {identity: 'a:b', role: read}\n";
const std::string kTwice =
    kNoClients +
    "    clients:\n    - {identity: 'a:b', role: read, vms: ['*']}\n"
    "    - {identity: 'a:b', role: admin, vms: ['*']}\n";
const std::string kLongSocket =
    "listen:\n  admin_socket: /" + std::string(107, 'x') + "\n";

INSTANTIATE_TEST_SUITE_P(
    DaemonConfig, BadDaemonConfig,
    ::testing::Values(
        BadConfig{"state_dir: var/lib\n", ":1: state_dir: must be an absolute"},
        BadConfig{"processes:\n  guestfs_accelerator: hax\n",
                  ":2: processes.guestfs_accelerator: must be auto or tcg"},
        BadConfig{"log_level: loud\n", ":1: log_level: must be debug, info"},
        BadConfig{"libvirt:\n  uri: ''\n", ":2: libvirt.uri: must not be"},
        BadConfig{"gate:\n  store: [/a, b]\n",
                  ":2: gate.store[1]: must be an absolute"},
        BadConfig{"tpm:\n  tcti: ''\n", ":2: tpm.tcti: must not be empty"},
        BadConfig{"tpm:\n  pcrs: [0,1,2,3,4,5,6,13]\n",
                  ":2: tpm.pcrs: must hold 0 to 7: 7 is missing"},
        BadConfig{"tpm:\n  pcrs: [0,1,2,3,4,5,6,7]\n",
                  ":2: tpm.pcrs: must hold log_pcr, 13"},
        BadConfig{"tpm:\n  pcrs: []\n", ":2: tpm.pcrs: must hold 0 to 7"},
        BadConfig{"tpm:\n  pcrs: [0,1,2,3,4,5,6,7,13,24]\n",
                  ":2: tpm.pcrs[9]: must be from 0 to 23"},
        BadConfig{"tpm:\n  pcrs: [0,1,2,3,4,5,6,7,13,13]\n",
                  ":2: tpm.pcrs[9]: PCR 13 comes twice"},
        BadConfig{"tpm:\n  log_pcr: 23\n", ":2: tpm.log_pcr: must not be 23"},
        BadConfig{"tpm:\n  log_pcr: 10\n", ":2: tpm.log_pcr: must not be 10"},
        BadConfig{"tpm:\n  log_pcr: 7\n", ":2: tpm.log_pcr: must be from 8"},
        BadConfig{"tpm:\n  pcr_bank: sha1\n", ":2: tpm.pcr_bank: must be sha"},
        BadConfig{"tpm:\n  persistent_handle_base: 5\n",
                  ":2: tpm.persistent_handle_base: must be from 0x81000000"},
        BadConfig{"tpm:\n  key_auth_file: a\n",
                  ":2: tpm.key_auth_file: must be an absolute"},
        BadConfig{"measurement:\n  algorithm: md5\n",
                  ":2: measurement.algorithm: must be sha256"},
        BadConfig{"measurement:\n  content: all\n",
                  ":2: measurement.content: must be full"},
        BadConfig{"limits:\n  request_threads: 0\n",
                  ":2: limits.request_threads: must be from 1"},
        BadConfig{"limits:\n  max_message_bytes: 1\n",
                  ":2: limits.max_message_bytes: must be from 4096"},
        BadConfig{"listen:\n  admin_socket: ''\n",
                  ":2: listen.admin_socket: must be an absolute"},
        BadConfig{"listen: {admin_socket: /a,\n read_socket: /b/../a}\n",
                  ":2: listen.read_socket: is the admin socket"},
        BadConfig{kLongSocket.c_str(),
                  ":2: listen.admin_socket: a socket's path has at most 107"},
        BadConfig{kNoClients.c_str(), ":2: listen.tcp.clients: lists nobody"},
        BadConfig{kBadAddress.c_str(), ":6: listen.tcp.address: must be HOST"},
        BadConfig{kBadIdentity.c_str(),
                  ":8: listen.tcp.clients[0].identity: must be a URI"},
        BadConfig{kBadRole.c_str(),
                  ":8: listen.tcp.clients[0].role: must be read or admin"},
        BadConfig{kBadVm.c_str(),
                  ":10: listen.tcp.clients[0].vms[1]: 'web' is neither"},
        BadConfig{kNoVm.c_str(), ":8: listen.tcp.clients[0].vms: lists no VM"},
        BadConfig{kTwice.c_str(),
                  ":9: listen.tcp.clients[1].identity: 'a:b' has a grant"}));

}  // namespace
}  // namespace vmattest::config
