// vmattest-verifierd as a program, with a vmattestd and a real TPM that it
// learns to know.
#include <openssl/hmac.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "base/clock.h"
#include "crypto/ml_dsa.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "support/daemon_process.h"
#include "support/https_receiver.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/test_node.h"
#include "support/test_pki.h"
#include "support/vectors.h"
#include "support/verifier_site.h"
#include "token/key_file.h"

namespace vmattest {
namespace {

namespace fs = std::filesystem;

using testing::CertificateFiles;
using testing::DaemonProcess;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::Ran;
using testing::TempDir;
using testing::TestNode;
using testing::TestPki;
using testing::VerifierProcess;

constexpr char kVerifierUri[] = "spiffe://t/verifier";
constexpr char kVm[] = "11111111-2222-3333-4444-000000000001";

class VerifierdTest : public ::testing::Test {
 protected:
  [[nodiscard]] nlohmann::json Host() const {
    const Ran ran = verifier_.Vmattest({"hosts", "list", "--json"});
    return ran.out.empty() ? nlohmann::json::object()
                           : nlohmann::json::parse(ran.out);
  }
  // Fresh evidence about the VM.
  fs::path Evidence(const std::string& name) {
    const fs::path file = dir_.path() / name;
    const Ran ran = daemon_.Vmattest(
        {"attest", "--vm", "web", "--content", "none", "--out", file.string()});
    EXPECT_EQ(ran.exit_code, 0) << ran.err << daemon_.log();
    return file;
  }
  Ran Appraise(const fs::path& file) {
    return verifier_.Vmattest({"appraise", file.string()});
  }
  void AwaitEnrolled() { ASSERT_TRUE(site_.AwaitEnrolled()) << site_.Logs(); }
  void Approve() {
    const std::string yaml = (dir_.path() / "web.yaml").string();
    const Ran learned =
        verifier_.Vmattest({"references", "learn", kVm, "web", "--out", yaml});
    ASSERT_EQ(learned.exit_code, 0) << learned.err;
    verifier_.PutReference(testing::Slurp(yaml));
  }

  TempDir dir_;
  TestNode node_{{"web"}};
  testing::VerifierSite site_;
  TestPki& pki_ = site_.pki;
  VerifierProcess& verifier_ = site_.verifier;
  DaemonProcess& daemon_ = (site_.StartHost(node_.uri(), ""), *site_.daemon);
};

TEST_F(VerifierdTest, HostEnrolsAndWhatItSaysIsJudgedAlsoAfterKill9) {
  AwaitEnrolled();
  const nlohmann::json host = Host();
  EXPECT_EQ(host["ek_trust"], "certificate");
  EXPECT_EQ(host["client_identity"], VerifierProcess::kHostUri);

  const Ran unknown = Appraise(Evidence("e1"));
  EXPECT_EQ(unknown.exit_code, 1) << unknown.err;
  EXPECT_THAT(unknown.out, HasSubstr("reference-none"));
  Approve();
  const Ran good = Appraise(Evidence("e2"));
  EXPECT_EQ(good.exit_code, 0) << good.out << good.err;

  const fs::path file = Evidence("e3");
  std::string bytes = testing::Slurp(file);
  bytes[bytes.size() / 2] ^= 1;
  EXPECT_EQ(Appraise(dir_.Write("tampered", bytes)).exit_code, 1);

  const std::string decisions = verifier_.Vmattest({"decisions", "list"}).out;
  verifier_.Kill();
  verifier_.Start();
  EXPECT_EQ(Host(), host);
  EXPECT_EQ(verifier_.Vmattest({"decisions", "list"}).out, decisions);
  EXPECT_EQ(Appraise(file).exit_code, 0);

  const Ran revoked =
      verifier_.Vmattest({"hosts", "revoke", host["host_id"], "--reason", "x"});
  EXPECT_EQ(revoked.exit_code, 0) << revoked.err;
  verifier_.Kill();
  verifier_.Start();
  const Ran refused = Appraise(Evidence("e4"));
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.out, HasSubstr("host-revoked"));
}

// "t=SECONDS,v1=HEX" of the body, with the secret that both know.
bool IsSigned(const std::string& request, const std::string& secret) {
  const size_t at = request.find("Vmattest-Signature: t=");
  const size_t head = request.find("\r\n\r\n");
  if (at == std::string::npos || head == std::string::npos) {
    return false;
  }
  const size_t seconds = at + 22;
  const size_t comma = request.find(",v1=", seconds);
  const std::string signed_text =
      request.substr(seconds, comma - seconds) + "." + request.substr(head + 4);
  Bytes mac(32);
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       AsBytes(signed_text).data(), signed_text.size(), mac.data(), nullptr);
  return request.substr(comma + 4, 64) == ToHex(mac);
}

TEST_F(VerifierdTest, AnOwnerAsksTheHostSimulatesWatchesAndIsTold) {
  AwaitEnrolled();
  EXPECT_EQ(Appraise(Evidence("e1")).exit_code, 1);

  const uint16_t port = testing::UnusedPort();
  const CertificateFiles server = pki_.IssueServer();
  std::filesystem::create_directories(daemon_.folder() / "conf.d");
  std::ofstream(daemon_.folder() / "conf.d/50-tcp.yaml") << fmt::format(
      "listen: {{tcp: {{address: \"127.0.0.1:{}\", certificate: {}, "
      "private_key: {}, client_ca: {}, clients: [{{identity: \"{}\", "
      "role: read, vms: [\"*\"]}}]}}}}\n",
      port, server.certificate.string(), server.private_key.string(),
      pki_.ca().string(), kVerifierUri);
  ASSERT_EQ(daemon_.Stop(), 0) << daemon_.log();
  daemon_.Start();

  const std::string secret = "a secret of thirty-two bytes, or so";
  const fs::path secret_file = dir_.Write("webhook-secret", secret);
  fs::permissions(secret_file, fs::perms::owner_read);
  const testing::HttpsReceiver receiver(server.certificate, server.private_key);
  const CertificateFiles client = pki_.IssueClient("verifier", kVerifierUri);
  verifier_.Configure(
      "60-ask.yaml",
      fmt::format("verification:\n"
                  "  hosts: [{{host_id: {}, address: \"127.0.0.1:{}\"}}]\n"
                  "  host_tls: {{certificate: {}, private_key: {}, ca: {}}}\n"
                  "  webhook: {{url: \"{}\", secret_file: {}, ca: {}}}\n",
                  Host()["host_id"].get<std::string>(), port,
                  client.certificate.string(), client.private_key.string(),
                  pki_.ca().string(), receiver.url(), secret_file.string(),
                  pki_.ca().string()));
  verifier_.Kill();
  verifier_.Start();

  const Ran refused = verifier_.Vmattest({"appraise", "--vm", kVm});
  EXPECT_EQ(refused.exit_code, 1) << refused.err;
  EXPECT_THAT(refused.out, HasSubstr("reference-none"));
  const Ran alert = verifier_.Vmattest(
      {"decisions", "watch", "--after", "1", "--count", "1", "--json"});
  EXPECT_EQ(alert.exit_code, 0) << alert.err;
  EXPECT_THAT(alert.out, HasSubstr("reference-none"));
  ASSERT_TRUE(Eventually([&receiver] { return !receiver.requests().empty(); }))
      << verifier_.log();
  const std::string told = receiver.requests().front();
  EXPECT_THAT(told, HasSubstr(kVm));
  EXPECT_TRUE(IsSigned(told, secret)) << told;

  Approve();
  const Ran good = verifier_.Vmattest(
      {"appraise", "--vm", kVm, "--nonce", "000102030405060708090a0b0c0d0e0f"});
  EXPECT_EQ(good.exit_code, 0) << good.out << good.err;

  // What was learned holds; another root would not.
  const std::string yaml = testing::Slurp(dir_.path() / "web.yaml");
  const Ran same = verifier_.Vmattest(
      {"references", "simulate", (dir_.path() / "web.yaml").string()});
  EXPECT_EQ(same.exit_code, 0) << same.out << same.err;
  std::string other = yaml;
  const size_t root = other.find("roots:");
  ASSERT_NE(root, std::string::npos) << yaml;
  char& digit = other[other.find('"', root) + 1];
  digit = digit == '0' ? '1' : '0';
  other.replace(other.find("revision: 1"), 11, "revision: 2");
  const Ran flips = verifier_.Vmattest(
      {"references", "simulate", dir_.Write("other.yaml", other).string()});
  EXPECT_EQ(flips.exit_code, 1) << flips.err;
  EXPECT_THAT(flips.out, HasSubstr("trusted -> refused"));
}

TEST_F(VerifierdTest, S4_AResultOnRequestIsSignedWithMlDsaToo) {
  const char* module = std::getenv("VMATTEST_PQ_MODULE");
  ASSERT_NE(module, nullptr);
  verifier_.Configure(
      "50-pq.yaml",
      fmt::format("verification: {{post_quantum: preferred, module: {}}}\n",
                  fs::exists(module) ? module : "\"\""));
  verifier_.Kill();
  verifier_.Start();
  AwaitEnrolled();
  const fs::path evidence = Evidence("e1");
  EXPECT_EQ(Appraise(evidence).exit_code, 1);
  Approve();
  const std::string token = (dir_.path() / "jwt").string();
  const auto ask = [&](std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"appraise", evidence.string(), "--out", token});
    const Ran ran = verifier_.Vmattest(words);
    EXPECT_EQ(ran.exit_code, 0) << ran.out << ran.err;
    return testing::Slurp(token);
  };
  const auto provider = MlDsaProvider::Open(fs::exists(module) ? module : "");
  ASSERT_TRUE(provider.ok()) << provider.status();
  ASSERT_OK_AND_ASSIGN(const std::vector<token::VerificationKey> keys,
                       token::LoadKeyFile(verifier_.result_keys()));
  std::vector<token::VerificationKey> pq;
  for (const token::VerificationKey& key : keys) {
    if (key.algorithm() == "ML-DSA-65") {
      pq.push_back(key);
    }
  }
  ASSERT_EQ(pq.size(), 1u);
  const token::VerifyOptions now = {.now = SystemClock().Now(),
                                    .require_expiry = true};
  const token::OpenedEar hybrid =
      token::VerifyEar(ask({"--post-quantum"}), pq, now);
  ASSERT_TRUE(hybrid.verdict.trusted()) << hybrid.verdict.reasons.front().code;
  EXPECT_EQ(hybrid.ear.signed_with, "ES256 ML-DSA-65");
  EXPECT_EQ(hybrid.ear.submodules.at("config").status, token::Tier::kAffirming);
  const std::string classic = ask({});
  EXPECT_FALSE(token::VerifyEar(classic, pq, now).verdict.trusted());
  const token::OpenedEar plain = token::VerifyEar(classic, keys, now);
  ASSERT_TRUE(plain.verdict.trusted());
  EXPECT_EQ(plain.ear.signed_with, "ES256");
  EXPECT_LE(*plain.ear.expires - plain.ear.issued, std::chrono::hours(1));
}

TEST_F(VerifierdTest, ARenewedCertificateIsServedWithoutARestart) {
  const CertificateFiles client =
      pki_.IssueClient("again", VerifierProcess::kHostUri);
  // That it is denied what hosts may not ask says that it was let in.
  const auto served = [&] {
    return testing::RunToEnd({DaemonProcess::CommandLine(), "decisions", "list",
                              "--verifier", verifier_.address(), "--cert",
                              client.certificate.string(), "--key",
                              client.private_key.string(), "--ca",
                              pki_.ca().string()})
               .err.find("METHOD_DENIED") != std::string::npos;
  };
  ASSERT_TRUE(Eventually(served)) << verifier_.log();
  pki_.Issue("server", {"DNS:nowhere.example"});
  EXPECT_TRUE(Eventually([&] {
    verifier_.Hangup();
    return !served();
  })) << verifier_.log();
  pki_.IssueServer();
  EXPECT_TRUE(Eventually([&] {
    verifier_.Hangup();
    return served();
  })) << verifier_.log();
}

TEST_F(VerifierdTest, ApproversAreReadAgainOnHangup) {
  const std::string key = (dir_.path() / "bob").string();
  ASSERT_EQ(
      testing::RunToEnd({DaemonProcess::CommandLine(), "key", "generate",
                         "--name", "bob", "--ml-dsa", "none", "--out", key})
          .exit_code,
      0);
  const std::string yaml =
      dir_.Write("bob.yaml",
                 fmt::format(
                     "name: bobs\nvm_uuids: [{}]\nconfig: "
                     "{{rules: [{{path: name, kind: equal, values: [web]}}],"
                     " accept_other_leaves: true}}\n",
                     kVm))
          .string();
  const std::string document = (dir_.path() / "bob.document").string();
  const Ran signed_ =
      testing::RunToEnd({DaemonProcess::CommandLine(), "reference", "sign",
                         yaml, "--key", key, "--out", document});
  ASSERT_EQ(signed_.exit_code, 0) << signed_.err;
  EXPECT_NE(verifier_.Vmattest({"references", "put", document}).exit_code, 0);
  fs::copy_file(key + ".pub", verifier_.approvers() / "bob.pub");
  EXPECT_NE(verifier_.Vmattest({"references", "put", document}).exit_code, 0);
  verifier_.Hangup();
  EXPECT_TRUE(Eventually([&] {
    return verifier_.Vmattest({"references", "put", document}).exit_code == 0;
  })) << verifier_.log();
}

}  // namespace
}  // namespace vmattest
