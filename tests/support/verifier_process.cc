#include "support/verifier_process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <utility>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "support/test_node.h"
#include "support/vectors.h"

namespace vmattest::testing {
namespace {

namespace fs = std::filesystem;

std::string Config(const fs::path& root, uint16_t port,
                   const CertificateFiles& server, const fs::path& ca) {
  return fmt::format(
      "state_dir: {0}/state\n"
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
      root.string(), port, server.certificate.string(),
      server.private_key.string(), ca.string(), VerifierProcess::kHostUri);
}

}  // namespace

VerifierProcess::VerifierProcess(TestPki& pki, const fs::path& ek_roots)
    : server_(pki.IssueServer()), port_(UnusedPort()) {
  const fs::path root = dir_.path();
  fs::create_directories(root / "approvers");
  fs::create_directories(root / "ek-roots");
  for (const char* name : {"swtpm-localca-rootca-cert.pem", "issuercert.pem"}) {
    fs::copy_file(ek_roots / name, root / "ek-roots" / name);
  }
  const Ran made =
      RunToEnd({DaemonProcess::CommandLine(), "key", "generate", "--name",
                "alice", "--ml-dsa", "none", "--out", approver().string()});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  fs::copy_file(root / "alice.pub", root / "approvers/alice.pub");
  config_ = dir_.Write("v.yaml", Config(root, port_, server_, pki.ca()));
  Start();
}

void VerifierProcess::Start() {
  pid_ = fork();
  if (pid_ == 0) {
    const std::string program = Program();
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

void VerifierProcess::Kill() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
}

void VerifierProcess::Signal(int signal) const { kill(pid_, signal); }
void VerifierProcess::Hangup() const { Signal(SIGHUP); }

Ran VerifierProcess::Vmattest(std::vector<std::string> words) const {
  words.insert(words.begin(), DaemonProcess::CommandLine());
  words.insert(words.end(), {"--verifier-socket", dir_.path() / "admin.sock"});
  return RunToEnd(words);
}

void VerifierProcess::PutReference(const std::string& yaml) {
  const std::string file = dir_.Write("reference.yaml", yaml).string();
  const std::string document = (dir_.path() / "reference.document").string();
  const Ran signed_ =
      RunToEnd({DaemonProcess::CommandLine(), "reference", "sign", file,
                "--key", approver().string(), "--out", document});
  ASSERT_EQ(signed_.exit_code, 0) << signed_.err;
  const Ran put = Vmattest({"references", "put", document});
  ASSERT_EQ(put.exit_code, 0) << put.err;
}

std::string VerifierProcess::ClientYaml(TestPki& pki) const {
  const CertificateFiles client = pki.IssueClient("host", kHostUri);
  return fmt::format(
      "verifier: {{address: \"{}\", certificate: {}, private_key: {}, ca: "
      "{}}}\n",
      address(), client.certificate.string(), client.private_key.string(),
      pki.ca().string());
}

std::string VerifierProcess::address() const {
  return fmt::format("127.0.0.1:{}", port_);
}

std::string VerifierProcess::Program() { return VMATTEST_VERIFIERD_PROGRAM; }

std::string VerifierProcess::log() const { return Slurp(dir_.path() / "log"); }

}  // namespace vmattest::testing
