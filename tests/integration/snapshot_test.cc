// A snapshot of a real guest's memory: from the command line through daemon,
// worker and TPM to a verdict; and what happens to the guest when the daemon
// is killed while it has it paused.

#include <signal.h>

#include <fstream>
#include <thread>

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
using testing::Eventually;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::LibvirtHost;
using testing::Ran;
using testing::Swtpm;

constexpr std::string_view kLow = R"(
id: low
version: 2
consistency: {mode: paused, pause_budget_ms: 5000}
regions:
  - name: low
    severity: high
    physical: {ranges: [{begin: 0x100000, end: 0x900000}]}
  - name: kernel
    severity: critical
    kernel: {parts: [text]}
  - name: sample
    sample: {pages: 64, seed: nonce}
)";
// All of it, by libvirt's slow reader, which makes for a pause of a second.
constexpr std::string_view kWide = R"(
id: wide
version: 1
consistency: {mode: paused, pause_budget_ms: 60000}
regions:
  - name: ram
    ram: {}
)";
constexpr std::string_view kOften = R"(
id: often
version: 1
algorithm: blake3
regions:
  - name: low
    physical: {ranges: [{begin: 0x100000, end: 0x200000}]}
schedule: {every_seconds: 5, jitter_percent: 20}
)";

class SnapshotTest : public ::testing::Test {
 protected:
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("snapshot"));
    const auto policies = host_->folder() / "policies";
    std::filesystem::create_directory(policies);
    std::ofstream(policies / "low.yaml") << kLow;
    std::ofstream(policies / "wide.yaml") << kWide;
    std::ofstream(policies / "often.yaml") << kOften;
    daemon_ = std::make_unique<DaemonProcess>(DaemonProcess::Options{
        .libvirt_uri = host_->uri(),
        .tcti = tpm_.tcti(),
        .more = fmt::format("kvm: {{libvirt_run_dir: {}/host/run/qemu}}\n"
                            "memory: {{enabled: true, policies: {}}}\n",
                            host_->folder().string(), policies.string())});
    ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  }
  void StartGuest(const std::vector<std::string>& options) {
    ASSERT_OK_AND_ASSIGN(const auto xml, host_->MakeDomain("web", options));
    ASSERT_THAT(host_->Virsh({"create", xml}), IsOk());
  }
  Ran Vmattest(const std::vector<std::string>& words, int code = 0) {
    Ran ran = daemon_->Vmattest(words);
    EXPECT_EQ(ran.exit_code, code) << ran.out << ran.err << daemon_->log();
    return ran;
  }
  nlohmann::json Verify(const std::vector<std::string>& more, int code) {
    std::vector<std::string> words = {DaemonProcess::CommandLine(),
                                      "verify",
                                      Path("e"),
                                      "--anchors",
                                      Path("anchors"),
                                      "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = testing::RunToEnd(words);
    EXPECT_EQ(ran.exit_code, code) << ran.out << ran.err;
    return nlohmann::json::parse(ran.out, nullptr, false);
  }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return host_->folder() / name;
  }
  [[nodiscard]] std::string State() const {
    return host_->Virsh({"domstate", "web"}).value_or("");
  }

  Swtpm tpm_;
  std::unique_ptr<LibvirtHost> host_;
  std::unique_ptr<DaemonProcess> daemon_;
};

TEST_F(SnapshotTest, IsSealedByTheStateKeyAndVerifiesOffline) {
  StartGuest({"backing=memfd", "mem=64", "kernel=none"});
  std::filesystem::create_directory(Path("anchors"));
  Vmattest({"host-identity", "--out", Path("anchors/host.json")});
  EXPECT_THAT(Vmattest({"policy", "list"}).out, HasSubstr("low@2"));
  const std::string nonce(32, 'a');
  Vmattest({"snapshot", "capture", "--vm", "web", "--policy", "low", "--nonce",
            nonce, "--out", Path("e")});

  const nlohmann::json good =
      Verify({"--nonce", nonce, "--subset", "low@2"}, 0);
  ASSERT_TRUE(good.is_object());
  const nlohmann::json& state = good["state"];
  EXPECT_EQ(state["reader"], "shared-memory") << good.dump(1);
  EXPECT_EQ(state["consistency"], "paused") << good.dump(1);
  EXPECT_EQ(state["regions"][0]["pages"], 2048);
  EXPECT_EQ(state["regions"][2]["pages"], 64);
  EXPECT_THAT(state["regions"][1]["unavailable"].get<std::string>(),
              HasSubstr("no-linux"));
  EXPECT_THAT(State(), HasSubstr("running"));
  const auto code = [](const nlohmann::json& json) {
    return json["reasons"][0]["code"].get<std::string>();
  };
  EXPECT_EQ(code(Verify({"--subset", "low@3"}, 1)), "subset-not-approved");
  EXPECT_EQ(code(Verify({"--min-consistency", "point-in-time"}, 1)),
            "consistency-too-low");
  EXPECT_EQ(code(Verify({"--refuse-unavailable"}, 1)), "content-unavailable");
  EXPECT_EQ(code(Verify({"--nonce", std::string(32, 'b')}, 1)),
            "nonce-mismatch");

  // The daemon kept it, and scheduled ones beside it.
  const auto listed = [&] {
    return Vmattest({"snapshot", "list", "--vm", "web"}).out;
  };
  EXPECT_THAT(listed(), HasSubstr("low@2"));
  EXPECT_TRUE(Eventually(
      [&] { return listed().find("often@1") != std::string::npos; }));
  const std::string all = listed();
  const size_t at = all.rfind('\n', all.find("low@2"));
  const std::string id = all.substr(at == std::string::npos ? 0 : at + 1, 25);
  Vmattest({"snapshot", "get", "--vm", "web", "--id", id, "--out", Path("e"),
            "--pages", Path("pages")});
  EXPECT_EQ(Verify({"--nonce", nonce}, 0)["state"]["subset"], "low@2");
  EXPECT_GT(std::filesystem::file_size(Path("pages")), (2048 + 64) * 32U);
}

// kill -9 in the pause. Of three cells of one size two are empty, so nobody can
// tell them apart, and libvirt has to be the reader.
TEST_F(SnapshotTest, LetsTheGuestRunAgainWhenTheDaemonIsKilledInThePause) {
  StartGuest({"mem=384", "cpus=3", "kernel=none",
              "cpu=<cpu><numa><cell id='0' cpus='0' memory='128' unit='MiB'/>"
              "<cell id='1' cpus='1' memory='128' unit='MiB'/>"
              "<cell id='2' cpus='2' memory='128' unit='MiB'/></numa></cpu>"});
  const auto is = [this](const char* state) {
    return State().find(state) != std::string::npos;
  };
  std::thread capture([&] {
    (void)daemon_->Vmattest({"snapshot", "capture", "--vm", "web", "--policy",
                             "wide", "--out", Path("e")});
  });
  EXPECT_TRUE(Eventually([&] { return is("paused"); }));
  // Stopped where it stands: what is seen now is what it dies in.
  daemon_->Signal(SIGSTOP);
  EXPECT_TRUE(is("paused")) << "the pause was over already";
  daemon_->Signal(SIGKILL);
  daemon_->Wait();
  capture.join();
  EXPECT_TRUE(Eventually([&] { return is("running"); }));
}

}  // namespace
}  // namespace vmattest
