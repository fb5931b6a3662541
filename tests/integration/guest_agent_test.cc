// A real Linux guest asks for a snapshot of itself: from vmattest-agent in it,
// through its port, QEMU and the daemon, to the evidence that the host keeps,
// and back.

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "base/handles.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "support/daemon_process.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/swtpm.h"

namespace vmattest {
namespace {

using testing::DaemonProcess;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::LibvirtHost;
using testing::Ran;
using testing::Swtpm;

constexpr std::string_view kPolicy = R"(
id: {}
version: 1
regions:
  - name: low
    severity: high
    physical: {{ranges: [{{begin: 0x100000, end: 0x200000}}]}}
)";

// Each line from the console is a command.
constexpr std::string_view kJob = R"(#!/bin/sh
stty -echo
port=/dev/$(cd /sys/class/virtio-ports && grep -l org.vmattest */name | cut -d/ -f1)
echo CONSOLE-"READY"
n=0
while read -r line; do
  eval "$line" 2>&1
  echo "exit=$?"
  n=$((n + 1))
  echo "CONSOLE-DONE-$n."
done
)";

class GuestAgentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("agent"));
    const auto policies = host_->folder() / "policies";
    std::filesystem::create_directory(policies);
    for (const std::string id : {"low", "secret"}) {
      std::ofstream(policies / (id + ".yaml"))
          << fmt::format(fmt::runtime(kPolicy), id);
    }
    daemon_ = std::make_unique<DaemonProcess>(DaemonProcess::Options{
        .libvirt_uri = host_->uri(),
        .tcti = tpm_.tcti(),
        .more = fmt::format(
            "kvm: {{libvirt_run_dir: {}/host/run/qemu}}\n"
            "memory: {{enabled: true, policies: {}, guest_requests: "
            "{{enabled: true, min_interval_seconds: 600, policies: [low]}}}}\n",
            host_->folder().string(), policies.string())});
    ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
    ASSERT_OK_AND_ASSIGN(const std::string initrd,
                         host_->AddJob(kJob, {VMATTEST_AGENT}));
    // libvirtd runs in a mount namespace of its own; this folder is in both.
    ASSERT_OK_AND_ASSIGN(
        const auto xml,
        host_->MakeDomain(
            "web", {"backing=memfd", "mem=128", "initrd=" + initrd,
                    fmt::format("devices=<channel type='unix'><source "
                                "mode='bind' path='{}'/><target type='virtio' "
                                "name='org.vmattest.agent.0'/></channel>",
                                Path("agent.sock"))}));
    ASSERT_THAT(host_->Virsh({"create", xml}), IsOk());
    ASSERT_TRUE(host_->AwaitConsole("web", "CONSOLE-READY"))
        << host_->Console("web");
    std::string tty = host_->Virsh({"ttyconsole", "web"}).value_or("");
    tty.erase(tty.find_last_not_of(" \n") + 1);
    console_ = UniqueFd(open(tty.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(console_.valid()) << tty;
  }
  // Runs a line of shell in the guest; what it said, and how it ended.
  std::string Run(const std::string& line) {
    const size_t before = host_->Console("web").size();
    const std::string command = line + "\n";
    EXPECT_EQ(write(console_.get(), command.data(), command.size()),
              static_cast<ssize_t>(command.size()));
    const std::string done = fmt::format("CONSOLE-DONE-{}.", ++ran_);
    EXPECT_TRUE(host_->AwaitConsole("web", done)) << host_->Console("web");
    std::string said = host_->Console("web").substr(before);
    std::erase(said, '\r');
    return said;
  }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return host_->folder() / name;
  }
  Ran Vmattest(const std::vector<std::string>& words) {
    Ran ran = daemon_->Vmattest(words);
    EXPECT_EQ(ran.exit_code, 0) << ran.out << ran.err << daemon_->log();
    return ran;
  }
  // The first line that is JSON.
  static nlohmann::json JsonOf(const std::string& said) {
    const size_t begin = said.find('{');
    return begin == std::string::npos
               ? nlohmann::json()
               : nlohmann::json::parse(
                     said.substr(begin, said.find('\n', begin) - begin),
                     nullptr, false);
  }

  Swtpm tpm_;
  std::unique_ptr<LibvirtHost> host_;
  std::unique_ptr<DaemonProcess> daemon_;
  UniqueFd console_;
  int ran_ = 0;
};

TEST_F(GuestAgentTest, AsksForASnapshotOfItselfAndIsHeldToTheRules) {
  const std::string nonce(48, 'b');
  // What another program left in the port harms nothing: bytes of no meaning,
  // and the beginning of a frame.
  EXPECT_THAT(Run("head -c 6000 /dev/urandom >$port && "
                  "printf 'vmA\\001\\000\\000\\003\\350half' >$port"),
              HasSubstr("exit=0"));
  const std::string said =
      Run("vmattest-agent request-snapshot --json --nonce " + nonce);
  EXPECT_THAT(said, HasSubstr("exit=0")) << daemon_->log();
  const nlohmann::json taken = JsonOf(said);
  ASSERT_TRUE(taken.is_object()) << said;
  EXPECT_EQ(taken["nonce"], nonce);
  EXPECT_EQ(taken["policy"], "low@1");
  EXPECT_EQ(taken["pages"], 256);

  // The host keeps it, and tells who asked.
  const Ran list = Vmattest({"snapshot", "list", "--vm", "web"});
  const std::string id = taken["id"].get<std::string>();
  EXPECT_THAT(list.out, HasSubstr(id));
  EXPECT_THAT(list.out, HasSubstr("cause guest"));
  std::filesystem::create_directory(Path("anchors"));
  Vmattest({"host-identity", "--out", Path("anchors/host.json")});
  Vmattest({"snapshot", "get", "--vm", "web", "--id", id, "--out", Path("e"),
            "--pages", Path("pages")});
  const Ran verified = testing::RunToEnd(
      {DaemonProcess::CommandLine(), "verify", Path("e"), "--anchors",
       Path("anchors"), "--nonce", nonce, "--json"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
  const auto verdict = nlohmann::json::parse(verified.out, nullptr, false);
  EXPECT_EQ(verdict["state"]["cause"], "guest") << verified.out;
  EXPECT_THAT(testing::RunToEnd({"sha256sum", Path("e")}).out,
              HasSubstr(taken["evidence_sha256"].get<std::string>()));

  const std::string again = Run("vmattest-agent request-snapshot --json");
  EXPECT_THAT(again, HasSubstr("exit=4"));
  EXPECT_EQ(JsonOf(again)["refused"], "too-soon") << again;
  EXPECT_GT(JsonOf(again)["retry_after_ms"], 500'000) << again;
  const std::string other =
      Run("vmattest-agent request-snapshot --policy secret");
  EXPECT_THAT(other, HasSubstr("policy-not-offered"));
  EXPECT_THAT(other, HasSubstr("exit=1"));

  // After the daemon was restarted it listens again.
  EXPECT_EQ(daemon_->Stop(), 0);
  daemon_->Start();
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  const std::string after = Run("vmattest-agent request-snapshot");
  EXPECT_THAT(after, HasSubstr("exit=0")) << daemon_->log();
  EXPECT_THAT(after, HasSubstr("evidence_sha256"));
}

}  // namespace
}  // namespace vmattest
