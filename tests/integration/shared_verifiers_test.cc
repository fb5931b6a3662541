// Several vmattest-verifierd over one store in etcd.
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/daemon_process.h"
#include "support/etcd_cluster.h"
#include "support/swtpm.h"
#include "support/test_pki.h"
#include "support/verifier_process.h"

namespace vmattest::testing {
namespace {

using ::testing::HasSubstr;

class SharedVerifiers : public ::testing::Test {
 protected:
  std::string Yaml() {
    const etcd::GrpcKeyValues::Options options = cluster_.Client();
    std::string endpoints;
    for (const std::string& endpoint : options.endpoints) {
      endpoints += fmt::format("\"{}\", ", endpoint);
    }
    return fmt::format(
        "store: {{etcd: {{endpoints: [{}], certificate: {}, private_key: {}, "
        "ca: {}, allow_unsafe_version: true}}}}\n",
        endpoints, options.certificate.string(), options.private_key.string(),
        options.ca.string());
  }
  static std::string References(const VerifierProcess& verifier) {
    return verifier.Vmattest({"references", "list", "--json"}).out;
  }
  static void Put(VerifierProcess& verifier, const std::string& name,
                  const std::string& vm) {
    verifier.PutReference(
        fmt::format("name: {}\nvm_uuids: [{}]\nconfig:\n  rules:\n"
                    "    - {{path: memory/max, kind: at_least, values: "
                    "[\"1\"]}}\n",
                    name, vm));
  }
  static Ran Move(const VerifierProcess& verifier) {
    return RunToEnd({VerifierProcess::Program(), "--config",
                     verifier.config().string(), "--move-to-etcd"});
  }

  EtcdCluster cluster_;
  TestPki pki_;
  Swtpm tpm_{Swtpm::Setup::kEkCertificate};
  VerifierProcess a_{pki_, tpm_.ca_folder()};
  VerifierProcess b_{pki_, tpm_.ca_folder()};
};

TEST_F(SharedVerifiers, MoveToEtcdAndSeeWhatTheOtherWrote) {
  Put(a_, "before", "11111111-2222-3333-4444-000000000001");
  a_.Kill();
  a_.Configure("50-etcd.yaml", Yaml());
  const Ran moved = Move(a_);
  EXPECT_EQ(moved.exit_code, 0) << moved.err;
  const Ran again = Move(a_);
  EXPECT_EQ(again.exit_code, 3);
  EXPECT_THAT(again.err, HasSubstr("not empty"));
  a_.Start();
  EXPECT_THAT(References(a_), HasSubstr("before"));

  b_.Kill();
  b_.Configure("50-etcd.yaml", Yaml());
  b_.Start();
  EXPECT_THAT(References(b_), HasSubstr("before"));
  Put(b_, "after", "11111111-2222-3333-4444-000000000002");
  EXPECT_THAT(References(a_), HasSubstr("after"));

  // A server less makes no difference; two less are said.
  const size_t leader = cluster_.Leader();
  cluster_.Kill(leader);
  Put(a_, "later", "11111111-2222-3333-4444-000000000003");
  EXPECT_THAT(References(b_), HasSubstr("later"));
  cluster_.Kill((leader + 1) % cluster_.size());
  const Ran refused = b_.Vmattest({"references", "list"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("etcd at 127.0.0.1:"));
}

}  // namespace
}  // namespace vmattest::testing
