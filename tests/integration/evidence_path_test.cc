// The whole path on real parts: libvirtd, QEMU, swtpm, vmattestd, vmattest,
// tpm2-tools.
#include <fstream>
#include <regex>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/daemon_process.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

using testing::DaemonProcess;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::LibvirtHost;
using ::testing::Not;
using testing::Ran;
using testing::RunToEnd;
using testing::Slurp;
using testing::Swtpm;

class EvidencePathTest : public ::testing::Test {
 protected:
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("evidence"));
    daemon_ = std::make_unique<DaemonProcess>(DaemonProcess::Options{
        .libvirt_uri = host_->uri(), .tcti = tpm_.tcti()});
  }

  void StartGuest(std::vector<std::string> options) {
    options.emplace_back("uuid=a045410c-221a-45fb-b0ef-341be7ce6025");
    ASSERT_OK_AND_ASSIGN(const auto xml, host_->MakeDomain("web", options));
    ASSERT_THAT(host_->Virsh({"define", xml}), IsOk());
    ASSERT_THAT(host_->Virsh({"start", "web"}), IsOk());
  }
  void StopGuest() { ASSERT_THAT(host_->Virsh({"destroy", "web"}), IsOk()); }

  std::string Pin() {
    std::filesystem::create_directory(Path("anchors"));
    EXPECT_EQ(
        daemon_->Vmattest({"host-identity", "--out", Path("anchors/host.json")})
            .exit_code,
        0);
    return Path("anchors");
  }
  // Writes evidence to `file` and returns the random nonce it was asked with.
  std::string Attest(const std::string& file) {
    const Ran ran = daemon_->Vmattest(
        {"attest", "--vm", "web", "--content", "full", "--out", file});
    EXPECT_EQ(ran.exit_code, 0) << ran.err << daemon_->log();
    std::smatch match;
    EXPECT_TRUE(
        std::regex_search(ran.out, match, std::regex("nonce: ([0-9a-f]{64})")));
    return match[1];
  }
  static Ran Offline(std::vector<std::string> words) {
    words.insert(words.begin(), DaemonProcess::CommandLine());
    return RunToEnd(words);
  }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return daemon_->folder() / name;
  }

  Swtpm tpm_;
  std::unique_ptr<LibvirtHost> host_;
  std::unique_ptr<DaemonProcess> daemon_;
};

TEST_F(EvidencePathTest, FromARealGuestToAStrangersOfflineCheck) {
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  StartGuest({"mem=128"});
  const std::string anchors = Pin();
  const std::string nonce = Attest(Path("first"));

  // A stranger has the file, the anchors and the nonce.
  const Ran good = Offline(
      {"verify", Path("first"), "--anchors", anchors, "--nonce", nonce});
  EXPECT_EQ(good.exit_code, 0) << good.out << good.err;
  EXPECT_THAT(good.out, HasSubstr("pinned"));
  EXPECT_EQ(Offline({"verify", Path("first"), "--anchors", anchors, "--nonce",
                     std::string(64, '0')})
                .exit_code,
            1);

  // tpm2-tools believe it too.
  const Ran exported = Offline({"export", Path("first"), Path("export")});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  const auto check = [&](const std::string& qualification) {
    return RunToEnd({"tpm2_checkquote", "-u", Path("export/ak.pem"), "-m",
                     Path("export/quote.msg"), "-s", Path("export/quote.sig"),
                     "-f", Path("export/quote.pcrs"), "-g", "sha256", "-q",
                     qualification});
  };
  std::string qualification = Slurp(Path("export/qualification.hex"));
  qualification.erase(qualification.find_last_not_of("\n ") + 1);
  const Ran checked = check(qualification);
  EXPECT_EQ(checked.exit_code, 0) << checked.err;
  EXPECT_NE(check(std::string(64, '0')).exit_code, 0);

  // Somebody gives the guest more memory: the root changes, and the leaf is
  // named.
  StopGuest();
  StartGuest({"mem=192"});
  const std::string second_nonce = Attest(Path("second"));
  const Ran changed =
      Offline({"verify", Path("second"), "--anchors", anchors, "--nonce",
               second_nonce, "--expect", Path("first")});
  EXPECT_EQ(changed.exit_code, 1) << changed.out;
  const Ran explained = Offline({"explain", Path("second"), Path("first")});
  EXPECT_EQ(explained.exit_code, 1);
  EXPECT_THAT(explained.out, HasSubstr("memory"));
  EXPECT_THAT(explained.out, Not(HasSubstr("kernel")));
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->log();
}

TEST_F(EvidencePathTest, AnyFlippedByteOfTheFileIsNoticed) {
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  StartGuest({"kernel=none", "mem=64"});
  const std::string anchors = Pin();
  const std::string nonce = Attest(Path("good"));
  const std::string evidence = Slurp(Path("good"));
  for (size_t i = 0; i < 16; ++i) {
    std::string bad = evidence;
    bad[i * (bad.size() - 1) / 15] ^= 1;
    std::ofstream(Path("bad")) << bad;
    EXPECT_EQ(
        Offline({"verify", Path("bad"), "--anchors", anchors, "--nonce", nonce})
            .exit_code,
        1)
        << i;
  }
}

TEST_F(EvidencePathTest, WatcherSeesTheLifecycleWithItsMeasurements) {
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  StartGuest({"kernel=none", "mem=64"});
  const auto watch = [&] {
    return daemon_->Vmattest({"watch", "--after", "1", "--vm", "web", "--count",
                              "1", "--timeout", "20"});
  };
  const Ran watched = watch();
  EXPECT_EQ(watched.exit_code, 0) << watched.err << daemon_->log();
  EXPECT_THAT(watched.out, HasSubstr(" web "));
  EXPECT_THAT(daemon_->Vmattest({"list"}).out, HasSubstr("running"));
}

// The daemon goes on, says what does not serve, and comes back by itself.
TEST_F(EvidencePathTest, LibvirtAndTpmMayComeAndGo) {
  ASSERT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  const auto health = [&] {
    return daemon_
        ->Vmattest({"call", "grpc.health.v1.Health/Check",
                    R"({"service":"vmattest.v1.Attestation"})"})
        .out;
  };
  EXPECT_THAT(health(), HasSubstr("\"SERVING\""));
  ASSERT_THAT(host_->StopLibvirtd("KILL"), IsOk());
  EXPECT_TRUE(testing::Eventually(
      [&] { return health().find("NOT_SERVING") != std::string::npos; }));
  EXPECT_EQ(daemon_->Vmattest({"status"}).exit_code, 3);
  ASSERT_THAT(host_->StartLibvirtd(), IsOk());
  EXPECT_TRUE(daemon_->AwaitServing()) << daemon_->log();

  tpm_.Kill();
  StartGuest({"kernel=none", "mem=64"});
  const Ran without = daemon_->Vmattest(
      {"attest", "--vm", "web", "--out", Path("none"), "--timeout", "5"});
  EXPECT_EQ(without.exit_code, 3) << without.err;
  EXPECT_FALSE(std::filesystem::exists(Path("none")));
  EXPECT_TRUE(testing::Eventually(
      [&] { return health().find("NOT_SERVING") != std::string::npos; }));
  tpm_.Start();
  EXPECT_TRUE(daemon_->AwaitServing()) << daemon_->log();
  Attest(Path("again"));
}

}  // namespace
}  // namespace vmattest
