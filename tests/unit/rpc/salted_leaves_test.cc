// Who sees which leaves of a VM whose leaves are salted ("db"; "web" is
// public), over every call that could show them.

#include "evidence/config_tree.h"
#include "rpc/rpc_fixture.h"
#include "vmattest/verifier/disclosure.h"
#include "wire/codec.h"

namespace vmattest::rpc {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using Stub = v1::Attestation::Stub;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

class SaltedLeavesTest : public SocketTest {
 protected:
  evidence::Evidence Attest(const std::string& vm, bool omit = false) {
    v1::AttestConfigRequest request;
    request.set_vm(vm);
    request.set_omit_leaves(omit);
    v1::AttestConfigResponse response;
    EXPECT_THAT(Call(*attestation_, &Stub::AttestConfig, request, &response),
                IsOk());
    file_ = ToBytes(response.evidence());
    auto evidence = wire::ParseEvidence(file_);
    EXPECT_THAT(evidence, IsOk());
    return evidence.ok() ? *std::move(evidence) : evidence::Evidence();
  }

  v1::MeasureConfigResponse Measure(const std::string& vm) {
    v1::MeasureConfigRequest request;
    request.set_vm(vm);
    v1::MeasureConfigResponse response;
    EXPECT_THAT(Call(*attestation_, &Stub::MeasureConfig, request, &response),
                IsOk());
    return response;
  }

  absl::Status Disclose(const std::string& vm,
                        const std::vector<std::string>& paths) {
    v1::DiscloseLeafRequest request;
    request.set_vm(vm);
    request.set_nonce(std::string(32, 'n'));
    for (const std::string& path : paths) {
      request.add_paths(path);
    }
    v1::DiscloseLeafResponse response;
    const absl::Status status =
        Call(*attestation_, &Stub::DiscloseLeaf, request, &response);
    file_ = ToBytes(response.disclosure());
    return status;
  }

  // Appraises what came last.
  verifier::Appraisal Appraise() {
    v1::GetHostIdentityResponse response;
    EXPECT_THAT(Call(*attestation_, &Stub::GetHostIdentity,
                     v1::GetHostIdentityRequest(), &response),
                IsOk());
    const auto identity = wire::ParseHostIdentity(
        AsBytes(response.identity().SerializeAsString()));
    EXPECT_THAT(identity, IsOk());
    verifier::Anchors anchors;
    EXPECT_THAT(anchors.Add(wire::HostIdentityToJson(*identity)), IsOk());
    const WallTime now = inside_->clock.Now();
    auto appraisal = (wire::IsDisclosure(file_)
                          ? verifier::VerifyDisclosure
                          : verifier::Verify)(file_, anchors, policy_, now);
    EXPECT_THAT(appraisal, IsOk());
    return *std::move(appraisal);
  }

  Bytes file_;
  verifier::Policy policy_;
};

TEST_F(SaltedLeavesTest, AdministratorsGetLeavesAndSalt) {
  Serve(Listener::kAdminSocket);
  const evidence::Evidence evidence = Attest("db");
  EXPECT_EQ(evidence.vm_salt.size(), 32u);
  EXPECT_GT(evidence.leaves.size(), 3u);
  EXPECT_TRUE(Appraise().verdict.trusted());
}

TEST_F(SaltedLeavesTest, AdministratorsCanHaveThemLeftOut) {
  Serve(Listener::kAdminSocket);
  const evidence::Evidence evidence = Attest("db", true);
  EXPECT_TRUE(evidence.vm_salt.empty());
  EXPECT_TRUE(evidence.leaves.empty());
  EXPECT_TRUE(Appraise().verdict.trusted());
  EXPECT_FALSE(Attest("web", true).leaves.empty());
}

TEST_F(SaltedLeavesTest, ReadersGetTheRootAlone) {
  Serve(Listener::kReadSocket);
  const evidence::Evidence evidence = Attest("db");
  EXPECT_TRUE(evidence.vm_salt.empty());
  EXPECT_TRUE(evidence.leaves.empty());
  EXPECT_EQ(AsText(file_).find("memory/max"), std::string_view::npos);
  const verifier::Appraisal appraisal = Appraise();
  EXPECT_TRUE(appraisal.verdict.trusted());
  EXPECT_GT(appraisal.claims.leaf_count, 3u);
  EXPECT_FALSE(Attest("web").leaves.empty());
}

TEST_F(SaltedLeavesTest, ReadersMeasureTheRootAndTheNumberOfLeaves) {
  Serve(Listener::kReadSocket);
  const v1::MeasureConfigResponse salted = Measure("db");
  ASSERT_EQ(salted.leaves_size(), 1);
  EXPECT_EQ(salted.leaves(0).path(), kHeaderLeafPath);
  EXPECT_EQ(salted.warnings_size(), 0);
  Attest("db");
  EXPECT_EQ(AsBytes(salted.root()).size(), 32u);
  EXPECT_EQ(ToHex(AsBytes(salted.root())), ToHex(Appraise().claims.root));
  EXPECT_GT(Measure("web").leaves_size(), 3);
}

TEST_F(SaltedLeavesTest, OwnerComputesTheRootWithTheSalt) {
  Serve(Listener::kAdminSocket);
  const v1::MeasureConfigResponse measured = Measure("db");
  v1::GetVmSaltRequest request;
  request.set_vm("db");
  v1::GetVmSaltResponse salt;
  ASSERT_THAT(Call(*admin_, &v1::Admin::Stub::GetVmSalt, request, &salt),
              IsOk());
  std::vector<ConfigLeaf> leaves;
  for (const v1::ConfigLeaf& leaf : measured.leaves()) {
    LeafType type = LeafType::kHeader;
    while (ToString(type) != leaf.type()) {
      ASSERT_NE(type, LeafType::kTree) << leaf.type();
      type = static_cast<LeafType>(static_cast<int>(type) + 1);
    }
    leaves.push_back({leaf.path(), type, leaf.value()});
  }
  const SecretBytes secret(ToBytes(salt.salt()));
  ASSERT_OK_AND_ASSIGN(
      const ConfigTree tree,
      evidence::RebuildConfigTree(HashAlgorithm::kSha256, leaves, secret));
  EXPECT_EQ(ToHex(tree.root), ToHex(AsBytes(measured.root())));
  EXPECT_EQ(salt.salt_id(), evidence::SaltId(secret));
  Attest("db", true);
  policy_.expected_root = tree.root;
  EXPECT_TRUE(Appraise().verdict.trusted());
}

TEST_F(SaltedLeavesTest, AdministratorsDiscloseSingleLeaves) {
  Serve(Listener::kAdminSocket);
  ASSERT_THAT(Disclose("db", {"memory/max", "name"}), IsOk());
  policy_.nonce = Bytes(32, 'n');
  const verifier::Appraisal appraisal = Appraise();
  EXPECT_TRUE(appraisal.verdict.trusted());
  ASSERT_EQ(appraisal.claims.leaves.size(), 2u);
  EXPECT_EQ(appraisal.claims.leaves[0].path, "memory/max");
  EXPECT_EQ(appraisal.claims.leaves[1].value, "db");
  EXPECT_EQ(AsText(file_).find("vcpu"), std::string_view::npos);
}

TEST_F(SaltedLeavesTest, ReadersDisclosePublicLeavesOnly) {
  Serve(Listener::kReadSocket);
  // Nor can they find out which paths there are.
  for (const char* path : {"memory/max", "no/such/leaf"}) {
    EXPECT_THAT(Disclose("db", {path}), StatusIs(kDenied, HasSubstr("salted")))
        << path;
  }
  ASSERT_THAT(Disclose("web", {"memory/max"}), IsOk());
  EXPECT_TRUE(Appraise().verdict.trusted());
}

TEST_F(SaltedLeavesTest, LeafThatIsNotThereIsNotFound) {
  Serve(Listener::kAdminSocket);
  EXPECT_THAT(Disclose("db", {"memory/max", "no/such/leaf"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/such/leaf")));
  EXPECT_THAT(Disclose("nope", {"memory/max"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nope")));
}

TEST_F(SaltedLeavesTest, WrongPathsAreNamedAsTheField) {
  Serve(Listener::kAdminSocket);
  std::vector<std::string> many;
  for (int i = 0; i < 65; ++i) {
    many.push_back("leaf" + std::to_string(i));
  }
  for (const std::vector<std::string>& paths :
       std::vector<std::vector<std::string>>{{},
                                             many,
                                             {""},
                                             {"name", std::string(1025, 'x')},
                                             {"name", "name"}}) {
    const absl::Status status = Disclose("db", paths);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_EQ(ReasonOf(status),
              (ErrorInfo{"FIELD_INVALID", {{"field", "paths"}}}));
  }
}

}  // namespace
}  // namespace vmattest::rpc
