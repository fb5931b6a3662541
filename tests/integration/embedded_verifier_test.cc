// vmattestd that serves Enrollment and Verifier itself, and enrols with itself.
#include <csignal>
#include <filesystem>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/daemon_process.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "support/test_node.h"
#include "support/test_pki.h"

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

constexpr char kHost[] = "spiffe://t/host-1";
constexpr char kOperator[] = "spiffe://t/operator";
constexpr char kReader[] = "spiffe://t/reader";

class EmbeddedVerifierTest : public ::testing::Test {
 protected:
  EmbeddedVerifierTest() {
    fs::create_directory(dir_.path() / "ek-roots");
    for (const char* name :
         {"swtpm-localca-rootca-cert.pem", "issuercert.pem"}) {
      fs::copy_file(tpm_.ca_folder() / name, dir_.path() / "ek-roots" / name);
    }
    const CertificateFiles server = pki_.IssueServer();
    const CertificateFiles client = pki_.IssueClient("host", kHost);
    daemon_ = std::make_unique<DaemonProcess>(DaemonProcess::Options{
        .libvirt_uri = node_.uri(),
        .tcti = tpm_.tcti(),
        .more = fmt::format(
            "  tcp:\n"
            "    address: \"{0}\"\n"
            "    certificate: {1}\n"
            "    private_key: {2}\n"
            "    client_ca: {3}\n"
            "    clients:\n"
            "    - {{identity: \"{4}\", role: host}}\n"
            "    - {{identity: \"{5}\", role: operator, vms: ['*']}}\n"
            "    - {{identity: \"{6}\", role: read, vms: ['*']}}\n"
            "verification:\n"
            "  enabled: true\n"
            "  post_quantum: \"off\"\n"
            "  ek_roots: {7}/ek-roots\n"
            "  approvers: {7}/approvers\n"
            "verifier: {{address: \"{0}\", certificate: {8}, private_key: {9}, "
            "ca: {3}}}\n",
            address_, server.certificate.string(), server.private_key.string(),
            pki_.ca().string(), kHost, kOperator, kReader, dir_.path().string(),
            client.certificate.string(), client.private_key.string())});
  }
  [[nodiscard]] Ran Run(std::vector<std::string> words,
                        const std::vector<std::string>& connection) const {
    words.insert(words.begin(), DaemonProcess::CommandLine());
    words.insert(words.end(), connection.begin(), connection.end());
    return testing::RunToEnd(words);
  }
  // Over TCP with a certificate of that identity; `option` names the address.
  Ran As(const std::string& uri, const char* option,
         std::vector<std::string> words) {
    const CertificateFiles client = pki_.IssueClient("caller", uri);
    return Run(
        std::move(words),
        {option, address_, "--cert", client.certificate.string(), "--key",
         client.private_key.string(), "--ca", pki_.ca().string()});
  }
  [[nodiscard]] Ran AsOperator(std::vector<std::string> words) const {
    return Run(std::move(words),
               {"--verifier-socket", daemon_->admin_socket().string()});
  }

  TempDir dir_;
  TestPki pki_;
  Swtpm tpm_{Swtpm::Setup::kEkCertificate};
  TestNode node_{{"web"}};
  const std::string address_ =
      fmt::format("127.0.0.1:{}", testing::UnusedPort());
  std::unique_ptr<DaemonProcess> daemon_;
};

TEST_F(EmbeddedVerifierTest, EnrolsAndJudgesAndEachRoleSeesItsOwnServiceOnly) {
  ASSERT_TRUE(Eventually([this] {
    daemon_->Signal(SIGHUP);
    return AsOperator({"hosts", "list"}).out.find("enrolled") !=
           std::string::npos;
  })) << daemon_->log();
  EXPECT_THAT(daemon_->Vmattest({"status"}).out, HasSubstr("verifier-store"));

  const std::string evidence = dir_.path() / "evidence";
  const Ran attested = daemon_->Vmattest(
      {"attest", "--vm", "web", "--content", "none", "--out", evidence});
  ASSERT_EQ(attested.exit_code, 0) << attested.err;
  const Ran judged = As(kOperator, "--verifier", {"appraise", evidence});
  EXPECT_EQ(judged.exit_code, 1) << judged.err;
  EXPECT_THAT(judged.out, HasSubstr("reference-none"));
  EXPECT_THAT(AsOperator({"decisions", "list"}).out, HasSubstr("REFUSED"));
  EXPECT_TRUE(
      fs::exists(daemon_->folder() / "state/verifier/result-keys.json"));

  const auto denied = [](const Ran& ran, const char* why) {
    EXPECT_NE(ran.exit_code, 0);
    EXPECT_THAT(ran.err, HasSubstr(why)) << ran.out;
  };
  EXPECT_EQ(As(kReader, "--address", {"list"}).exit_code, 0);
  denied(As(kReader, "--verifier", {"hosts", "list"}), "METHOD_DENIED");
  denied(As(kReader, "--verifier", {"appraise", evidence}), "METHOD_DENIED");
  denied(As(kHost, "--address", {"list"}), "METHOD_DENIED");
  denied(As(kHost, "--verifier", {"hosts", "list"}), "METHOD_DENIED");
  denied(As(kOperator, "--address", {"list"}), "METHOD_DENIED");
  denied(As(kOperator, "--address", {"status"}), "METHOD_DENIED");
  denied(As("spiffe://t/nobody", "--verifier", {"hosts", "list"}),
         "CLIENT_NOT_GRANTED");
}

}  // namespace
}  // namespace vmattest
