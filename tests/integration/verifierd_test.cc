// vmattest-verifierd as a program, with a vmattestd and a real TPM that it
// learns to know.
#include <filesystem>

#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "support/daemon_process.h"
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

using testing::DaemonProcess;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::Ran;
using testing::Swtpm;
using testing::TempDir;
using testing::TestNode;
using testing::TestPki;
using testing::VerifierProcess;

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

}  // namespace
}  // namespace vmattest
