// vmattest-verifierd as a program, with a vmattestd and a real TPM that it
// learns to know.
#include <openssl/hmac.h>

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "support/daemon_process.h"
#include "support/https_receiver.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "support/test_node.h"
#include "support/test_pki.h"
#include "support/vectors.h"
#include "support/verifier_process.h"

namespace vmattest {
namespace {

namespace fs = std::filesystem;

using testing::CertificateFiles;
using testing::DaemonProcess;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::Ran;
using testing::Swtpm;
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
  void AwaitEnrolled() {
    ASSERT_TRUE(Eventually([this] {
      return Host().value("state", "") == "enrolled";
    })) << verifier_.log()
        << daemon_.log();
  }
  void Approve() {
    const std::string yaml = (dir_.path() / "web.yaml").string();
    const Ran learned =
        verifier_.Vmattest({"references", "learn", kVm, "web", "--out", yaml});
    ASSERT_EQ(learned.exit_code, 0) << learned.err;
    verifier_.PutReference(testing::Slurp(yaml));
  }

  TempDir dir_;
  TestPki pki_;
  Swtpm tpm_{Swtpm::Setup::kEkCertificate};
  TestNode node_{{"web"}};
  VerifierProcess verifier_{pki_, tpm_.ca_folder()};
  DaemonProcess daemon_{{.libvirt_uri = node_.uri(),
                         .tcti = tpm_.tcti(),
                         .more = verifier_.ClientYaml(pki_)}};
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
