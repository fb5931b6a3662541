// vmattest-verifierd as a program, with a vmattestd and a real TPM that it
// learns to know.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "support/daemon_process.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "support/test_node.h"
#include "support/test_pki.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

namespace fs = std::filesystem;

using testing::CertificateFiles;
using testing::DaemonProcess;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::Ran;
using testing::RunToEnd;
using testing::Swtpm;
using testing::TempDir;
using testing::TestNode;
using testing::TestPki;

constexpr char kHostUri[] = "spiffe://t/host-1";
constexpr char kVm[] = "11111111-2222-3333-4444-000000000001";

// A real vmattest-verifierd in a folder of its own.
class VerifierProcess {
 public:
  VerifierProcess(TestPki& pki, const fs::path& ek_roots)
      : server_(pki.IssueServer()) {
    const std::string root = dir_.path().string();
    fs::create_directories(dir_.path() / "approvers");
    fs::create_directories(dir_.path() / "ek-roots");
    for (const char* name :
         {"swtpm-localca-rootca-cert.pem", "issuercert.pem"}) {
      fs::copy_file(ek_roots / name, dir_.path() / "ek-roots" / name);
    }
    const Ran made =
        RunToEnd({DaemonProcess::CommandLine(), "key", "generate", "--name",
                  "alice", "--ml-dsa", "none", "--out", root + "/alice"});
    EXPECT_EQ(made.exit_code, 0) << made.err;
    fs::copy_file(root + "/alice.pub", root + "/approvers/alice.pub");
    config_ = dir_.Write(
        "v.yaml",
        fmt::format("state_dir: {0}/state\n"
                    "listen:\n"
                    "  admin_socket: {0}/admin.sock\n"
                    "  tcp:\n"
                    "    address: 127.0.0.1:{1}\n"
                    "    certificate: {2}\n"
                    "    private_key: {3}\n"
                    "    client_ca: {4}\n"
                    "    clients:\n"
                    "      - {{identity: \"{5}\", role: host}}\n"
                    "verification:\n"
                    "  ek_roots: {0}/ek-roots\n"
                    "  approvers: {0}/approvers\n"
                    "  post_quantum: \"off\"\n",
                    root, port_, server_.certificate.string(),
                    server_.private_key.string(), pki.ca().string(), kHostUri));
    Start();
  }
  ~VerifierProcess() { Kill(); }

  void Start() {
    pid_ = fork();
    if (pid_ == 0) {
      const std::string program = VMATTEST_VERIFIERD_PROGRAM;
      const std::string config = config_.string();
      const std::string log = (dir_.path() / "log").string();
      if (freopen(log.c_str(), "a", stderr) != nullptr) {
        execl(program.c_str(), program.c_str(), "--config", config.c_str(),
              nullptr);
      }
      _exit(127);
    }
    EXPECT_TRUE(Eventually([this] {
      return Vmattest({"hosts", "list"}).exit_code == 0;
    })) << log();
  }
  void Kill() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(std::exchange(pid_, -1), nullptr, 0);
    }
  }
  [[nodiscard]] Ran Vmattest(std::vector<std::string> words) const {
    words.insert(words.begin(), DaemonProcess::CommandLine());
    words.insert(words.end(),
                 {"--verifier-socket", dir_.path() / "admin.sock"});
    return RunToEnd(words);
  }
  [[nodiscard]] nlohmann::json Host() const {
    const Ran ran = Vmattest({"hosts", "list", "--json"});
    return ran.out.empty() ? nlohmann::json::object()
                           : nlohmann::json::parse(ran.out);
  }
  [[nodiscard]] std::string log() const {
    return testing::Slurp(dir_.path() / "log");
  }
  [[nodiscard]] std::string address() const {
    return fmt::format("127.0.0.1:{}", port_);
  }
  [[nodiscard]] fs::path approver() const { return dir_.path() / "alice"; }

 private:
  TempDir dir_;
  const CertificateFiles server_;
  const uint16_t port_ = testing::UnusedPort();
  fs::path config_;
  pid_t pid_ = -1;
};

std::string VerifierClient(TestPki& pki, const std::string& address) {
  const CertificateFiles client = pki.IssueClient("host", kHostUri);
  return fmt::format(
      "verifier: {{address: \"{}\", certificate: {}, private_key: {}, ca: {}}}",
      address, client.certificate.string(), client.private_key.string(),
      pki.ca().string());
}

class VerifierdTest : public ::testing::Test {
 protected:
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
      return verifier_.Host().value("state", "") == "enrolled";
    })) << verifier_.log()
        << daemon_.log();
  }
  void Approve() {
    const std::string yaml = (dir_.path() / "web.yaml").string();
    const std::string document = (dir_.path() / "web.doc").string();
    const Ran learned =
        verifier_.Vmattest({"references", "learn", kVm, "web", "--out", yaml});
    ASSERT_EQ(learned.exit_code, 0) << learned.err;
    const Ran signed_ =
        RunToEnd({DaemonProcess::CommandLine(), "reference", "sign", yaml,
                  "--key", verifier_.approver().string(), "--out", document});
    ASSERT_EQ(signed_.exit_code, 0) << signed_.err;
    const Ran put = verifier_.Vmattest({"references", "put", document});
    ASSERT_EQ(put.exit_code, 0) << put.err;
    EXPECT_EQ(put.out, "web@1\n");
  }

  TempDir dir_;
  TestPki pki_;
  Swtpm tpm_{Swtpm::Setup::kEkCertificate};
  TestNode node_{{"web"}};
  VerifierProcess verifier_{pki_, tpm_.ca_folder()};
  DaemonProcess daemon_{{.libvirt_uri = node_.uri(),
                         .tcti = tpm_.tcti(),
                         .more = VerifierClient(pki_, verifier_.address())}};
};

TEST_F(VerifierdTest, HostEnrolsAndWhatItSaysIsJudgedAlsoAfterKill9) {
  AwaitEnrolled();
  const nlohmann::json host = verifier_.Host();
  EXPECT_EQ(host["ek_trust"], "certificate");
  EXPECT_EQ(host["client_identity"], kHostUri);

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
  EXPECT_EQ(verifier_.Host(), host);
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

}  // namespace
}  // namespace vmattest
