// vmattestd as a program, over libvirt's test driver.
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/daemon_process.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "support/test_node.h"
#include "support/test_pki.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

using testing::CertificateFiles;
using testing::DaemonProcess;
using ::testing::HasSubstr;
using testing::Ran;
using testing::RunToEnd;
using testing::Swtpm;
using testing::TempDir;

Ran Daemon(const std::vector<std::string>& words) {
  std::vector<std::string> all = {DaemonProcess::Program()};
  all.insert(all.end(), words.begin(), words.end());
  return RunToEnd(all);
}

TEST(Vmattestd, ConfigErrorIsExitCode2WithFileLineAndKey) {
  TempDir dir;
  const auto file = dir.Write("c.yaml", "state_dir: /x\ntpm:\n  pcrz: []\n");
  for (const bool check : {false, true}) {
    std::vector<std::string> words = {"--config", file.string()};
    if (check) {
      words.emplace_back("--check-config");
    }
    const Ran ran = Daemon(words);
    EXPECT_EQ(ran.exit_code, 2);
    EXPECT_THAT(ran.err, HasSubstr(file.string() + ":3: tpm.pcrz: unknown"));
  }
  EXPECT_EQ(Daemon({"--config", "/no/such.yaml"}).exit_code, 2);
  EXPECT_EQ(Daemon({"--no-such-option"}).exit_code, 2);
}

TEST(Vmattestd, CheckConfigPrintsWhatIsInEffect) {
  TempDir dir;
  const auto file = dir.Write("c.yaml", "log_level: debug\n");
  const Ran ran = Daemon({"--config", file.string(), "--check-config"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.out, HasSubstr("log_level: \"debug\""));
  EXPECT_THAT(ran.out, HasSubstr("max_watchers: 64"));
  EXPECT_THAT(Daemon({"--version"}).out, HasSubstr("vmattestd 0."));
  EXPECT_EQ(Daemon({"--help"}).exit_code, 0);
}

TEST(Vmattestd, StartsWithoutLibvirtAndTpmAndSaysSo) {
  DaemonProcess daemon(
      {.libvirt_uri = "qemu+unix:///system?socket=/no/such/socket",
       .tcti = "swtpm:path=/no/such/socket"});
  const Ran status = daemon.Vmattest({"status"});
  EXPECT_EQ(status.exit_code, 3) << daemon.log();
  EXPECT_THAT(status.out, HasSubstr("tpm      NOT SERVING"));
  EXPECT_THAT(status.out, HasSubstr("libvirt  NOT SERVING"));
  EXPECT_THAT(status.out, HasSubstr("store    serving"));
  EXPECT_THAT(daemon.Vmattest({"call", "grpc.health.v1.Health/Check"}).out,
              HasSubstr("NOT_SERVING"));
  EXPECT_EQ(daemon
                .Vmattest({"attest", "--vm", "a", "--out",
                           daemon.folder() / "e", "--timeout", "2"})
                .exit_code,
            3);
  EXPECT_EQ(daemon.Stop(), 0);
}

// Threads report while the daemon is still being made; what they meet is
// there, not what lay in that memory before.
TEST(Vmattestd, StartsInMemoryThatHeldSomethingElse) {
  setenv("MALLOC_PERTURB_", "85", 1);
  DaemonProcess daemon(
      {.libvirt_uri = "test:///default", .tcti = "swtpm:path=/no/such/socket"});
  unsetenv("MALLOC_PERTURB_");
  EXPECT_EQ(daemon.Vmattest({"call", "list", "--timeout", "5"}).exit_code, 0)
      << daemon.log();
  EXPECT_EQ(daemon.Stop(), 0);
}

TEST(Vmattestd, KeepsItsStateToItself) {
  DaemonProcess daemon(
      {.libvirt_uri = "test:///default", .tcti = "swtpm:path=/no/such/socket"});
  const auto state = daemon.folder() / "state";
  struct stat info {};
  ASSERT_EQ(stat(state.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  ASSERT_EQ(stat((state / "key-auth").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(info.st_size, 32);
  const std::string secret = testing::Slurp(state / "key-auth");

  const Ran second = Daemon({"--config", daemon.config().string()});
  EXPECT_EQ(second.exit_code, 3);
  EXPECT_THAT(second.err, HasSubstr("another daemon uses it"));

  EXPECT_EQ(daemon.Stop(), 0);
  daemon.Start();
  EXPECT_EQ(testing::Slurp(state / "key-auth"), secret);
  EXPECT_EQ(daemon.Stop(), 0);
  std::filesystem::permissions(state, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  const Ran open = Daemon({"--config", daemon.config().string()});
  EXPECT_EQ(open.exit_code, 3);
  EXPECT_THAT(open.err, HasSubstr("lets others in"));
}

TEST(Vmattestd, HangupReadsTheLogLevelAgain) {
  DaemonProcess daemon(
      {.libvirt_uri = "test:///default", .tcti = "swtpm:path=/no/such/socket"});
  daemon.Signal(SIGHUP);
  EXPECT_TRUE(testing::Eventually([&] {
    (void)daemon.Vmattest({"version"});
    return daemon.log().find("reloaded log_level=\"debug\"") !=
           std::string::npos;
  })) << daemon.log();
  EXPECT_EQ(daemon.Stop(), 0);
}

TEST(Vmattestd, AttestsOverMutualTlsFromTheCommandLine) {
  testing::TestNode node({"web"});
  const Swtpm tpm;
  testing::TestPki pki;
  const CertificateFiles server = pki.IssueServer();
  const CertificateFiles client = pki.IssueClient("op", "spiffe://t/op");
  const uint16_t port = testing::UnusedPort();
  DaemonProcess daemon(
      {.libvirt_uri = node.uri(),
       .tcti = tpm.tcti(),
       .more = fmt::format("  tcp:\n    address: 127.0.0.1:{}\n"
                           "    certificate: {}\n    private_key: {}\n"
                           "    client_ca: {}\n    clients:\n"
                           "      - {{identity: 'spiffe://t/op', role: read, "
                           "vms: ['*']}}\n",
                           port, server.certificate.string(),
                           server.private_key.string(), pki.ca().string())});
  ASSERT_TRUE(daemon.AwaitServing()) << daemon.log();
  const auto remote = [&](std::vector<std::string> words) {
    words.insert(words.begin(), DaemonProcess::CommandLine());
    words.insert(words.end(),
                 {"--address", fmt::format("localhost:{}", port), "--cert",
                  client.certificate.string(), "--key",
                  client.private_key.string(), "--ca", pki.ca().string()});
    return RunToEnd(words);
  };
  const std::string file = daemon.folder() / "evidence";
  const Ran attested = remote({"attest", "--vm", "web", "--out", file});
  EXPECT_EQ(attested.exit_code, 0) << attested.err << daemon.log();
  EXPECT_GT(std::filesystem::file_size(file), 1000u);
  const Ran denied = remote({"status"});
  EXPECT_EQ(denied.exit_code, 3);
  EXPECT_THAT(denied.err, HasSubstr("METHOD_DENIED"));
  EXPECT_EQ(RunToEnd({DaemonProcess::CommandLine(), "list", "--address", "x:1"})
                .exit_code,
            2);
  EXPECT_EQ(daemon.Stop(), 0) << daemon.log();
}

TEST(Vmattestd, StaysSmallWithTwoHundredDomains) {
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i) {
    names.push_back(fmt::format("vm-{}", i));
  }
  testing::TestNode node(names);
  const Swtpm tpm;
  DaemonProcess daemon({.libvirt_uri = node.uri(), .tcti = tpm.tcti()});
  ASSERT_TRUE(daemon.AwaitServing()) << daemon.log();
  const Ran reconciled =
      daemon.Vmattest({"call", "vmattest.v1.Admin/Reconcile"});
  EXPECT_THAT(reconciled.out, HasSubstr("\"measured\": \"200\""))
      << reconciled.err;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(daemon
                  .Vmattest({"attest", "--vm", names[static_cast<size_t>(i)],
                             "--out", daemon.folder() / "e"})
                  .exit_code,
              0);
  }
  RecordProperty("rss_kib", static_cast<int>(daemon.RssKib()));
  EXPECT_LT(daemon.RssKib(), 60u * 1024);
  EXPECT_EQ(daemon.Stop(), 0);
}

}  // namespace
}  // namespace vmattest
