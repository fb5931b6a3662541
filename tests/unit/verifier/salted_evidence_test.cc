#include <gmock/gmock.h>

#include "evidence/config_tree.h"
#include "verifier/reason_codes.h"
#include "verifier_fixture.h"

namespace vmattest::verifier {
namespace {

constexpr char kInside[] = "disk/vda/inside";

// Evidence with a subtree, of a VM with or without a salt.
class SaltedEvidenceTest : public VerifierFixture {
 protected:
  SaltedEvidenceTest() {
    builder.vm_salt = Bytes(32, 9);
    builder.subtrees[kInside] = {
        {"package[bash:amd64]", LeafType::kText, "5.2"},
        {"table", LeafType::kText, "gpt"}};
  }
};

TEST_F(SaltedEvidenceTest, IsTrustedWithLeavesAndSalt) {
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_TRUE(appraisal.verdict.trusted()) << Codes(appraisal);
  EXPECT_THAT(
      appraisal.claims.leaves,
      ::testing::Contains(ConfigLeaf{"disk/vda/inside/package[bash:amd64]",
                                     LeafType::kText, "5.2"}));
}

TEST_F(SaltedEvidenceTest, IsRefusedWithLeavesAndNoSalt) {
  evidence::Evidence evidence = builder.Build();
  evidence.vm_salt.clear();
  ExpectReason(evidence, reason::kSalt);
  evidence.subtrees.clear();
  ExpectReason(evidence, reason::kSalt);
  evidence.subtrees = builder.Build().subtrees;
  evidence.leaves.clear();
  ExpectReason(evidence, reason::kSalt);
}

TEST_F(SaltedEvidenceTest, IsRefusedWithAnotherSalt) {
  evidence::Evidence evidence = builder.Build();
  evidence.vm_salt[0] ^= 1;
  ExpectReason(evidence, reason::kSalt);
  evidence.vm_salt.resize(31);
  ExpectReason(evidence, reason::kSalt);
}

TEST_F(SaltedEvidenceTest, IsRefusedWithASaltAndNoLeaves) {
  evidence::Evidence evidence = builder.Build();
  evidence.leaves.clear();
  evidence.subtrees.clear();
  ExpectReason(evidence, reason::kLeafCount);
}

TEST_F(SaltedEvidenceTest, SaltOfAPublicVmIsRefused) {
  builder.vm_salt.clear();
  evidence::Evidence evidence = builder.Build();
  EXPECT_TRUE(Appraise(wire::EncodeEvidence(evidence)).verdict.trusted());
  evidence.vm_salt = Bytes(32, 9);
  ExpectReason(evidence, reason::kSalt);
}

TEST_F(SaltedEvidenceTest, SaltIdIsADigest) {
  builder.edit_statement = [](evidence::ConfigStatement& s) {
    s.salt_id = "salt-1";
  };
  ExpectReason(builder.BuildFile(), reason::kStatementField);
}

TEST_F(SaltedEvidenceTest, ASubtreeOfAnotherPlaceHasOtherSalts) {
  // The same leaves and values under another path: salts differ, roots too.
  const evidence::Evidence one = builder.Build();
  auto inside = builder.subtrees.extract(kInside);
  inside.key() = "disk/vdb/inside";
  builder.subtrees.insert(std::move(inside));
  const evidence::Evidence other = builder.Build();
  ASSERT_EQ(one.leaves.size(), other.leaves.size());
  EXPECT_EQ(one.subtrees.front().leaves, other.subtrees.front().leaves);
  const auto value = [](const evidence::Evidence& evidence) {
    for (const ConfigLeaf& leaf : evidence.leaves) {
      if (leaf.type == LeafType::kTree) {
        return leaf.value;
      }
    }
    return std::string();
  };
  EXPECT_NE(value(one), value(other));
}

class KeptBackTest : public SaltedEvidenceTest {
 protected:
  KeptBackTest() { builder.keep_back = true; }
};

TEST_F(KeptBackTest, IsTrustedAndClaimsNoLeaves) {
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_TRUE(appraisal.verdict.trusted()) << Codes(appraisal);
  EXPECT_TRUE(appraisal.claims.leaves.empty());
  EXPECT_EQ(appraisal.claims.root, builder.BuildTree().root);
}

TEST_F(KeptBackTest, IsComparedByRoot) {
  policy.expected_root = builder.BuildTree().root;
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  builder.leaves.front().value = "4";
  ExpectReason(builder.BuildFile(), reason::kConfigRoot);
}

TEST_F(KeptBackTest, CannotBeComparedByLeavesAlone) {
  policy.expected_leaves = builder.leaves;
  ExpectReason(builder.BuildFile(), reason::kLeavesKeptBack);
  policy.expected_root = builder.BuildTree().root;
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  policy.expected_root->front() ^= 1;
  ExpectReason(builder.BuildFile(), reason::kConfigRoot);
}

TEST_F(KeptBackTest, CannotShowThatEverythingWasMeasured) {
  policy.refuse_unavailable = true;
  ExpectReason(builder.BuildFile(), reason::kLeavesKeptBack);
}

TEST_F(KeptBackTest, PublicLeavesCannotBeKeptBack) {
  builder.vm_salt.clear();
  ExpectReason(builder.BuildFile(), reason::kLeafCount);
}

TEST_F(KeptBackTest, CachedContentIsStillRefused) {
  builder.cached = {{"disk/vda/digest", 5}};
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  policy.require_fresh_content = true;
  ExpectReason(builder.BuildFile(), reason::kContentCached);
}

class SubtreeTest : public SaltedEvidenceTest {
 protected:
  SubtreeTest() {
    builder.vm_salt.clear();
    evidence = builder.Build();
  }
  evidence::Evidence evidence;
};

TEST_F(SubtreeTest, EditedLeafIsFound) {
  evidence.subtrees[0].leaves.back().value = "mbr";
  ExpectReason(evidence, reason::kSubtrees);
}

TEST_F(SubtreeTest, MissingOrForeignSubtreeIsFound) {
  const ConfigSubtree good = evidence.subtrees[0];
  evidence.subtrees.clear();
  ExpectReason(evidence, reason::kSubtrees);
  evidence.subtrees = {good, good};
  ExpectReason(evidence, reason::kSubtrees);
  evidence.subtrees = {good};
  evidence.subtrees[0].path = "memory/max";
  ExpectReason(evidence, reason::kSubtrees);
  evidence.subtrees[0].path = "no/such/leaf";
  ExpectReason(evidence, reason::kSubtrees);
}

TEST_F(SubtreeTest, ChangedPackageIsNamedWithItsPlace) {
  policy.expected_leaves =
      evidence::Flatten(evidence.leaves, evidence.subtrees);
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  builder.subtrees[kInside][0].value = "5.3";
  const Appraisal appraisal = Appraise(builder.BuildFile());
  ASSERT_EQ(Codes(appraisal), reason::kConfigLeafChanged);
  EXPECT_EQ(appraisal.verdict.reasons[0].element,
            "disk/vda/inside/package[bash:amd64]");
}

TEST_F(SubtreeTest, UnavailableContentIsRefusedWhereThePolicySaysSo) {
  builder.leaves.push_back(
      {"kernel/digest", LeafType::kUnavailable, "no such file"});
  builder.subtrees[kInside].push_back(
      {"partition[2]", LeafType::kUnavailable, "encrypted"});
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  policy.refuse_unavailable = true;
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_EQ(Codes(appraisal), "content-unavailable content-unavailable");
  EXPECT_TRUE(appraisal.genuine);
  EXPECT_EQ(appraisal.verdict.reasons[0].element, "kernel/digest");
  EXPECT_EQ(appraisal.verdict.reasons[1].element,
            "disk/vda/inside/partition[2]");
  EXPECT_EQ(appraisal.verdict.reasons[1].found, "encrypted");
}

TEST_F(SubtreeTest, S19_UnmanagedVmsAreRefusedPastThePolicy) {
  policy.max_unmanaged_vms = 1;
  ExpectReason(builder.BuildFile(), reason::kUnmanagedVms);  // not said
  builder.header.host = evidence::HostState{
      .log_size = 3, .log_head = Bytes(32, 1), .unmanaged_vms = 1};
  const Appraisal allowed = Appraise(builder.BuildFile());
  EXPECT_TRUE(allowed.verdict.trusted()) << Codes(allowed);
  EXPECT_EQ(allowed.claims.unmanaged_vms, 1u);
  builder.header.host->unmanaged_vms = 2;
  ExpectReason(builder.BuildFile(), reason::kUnmanagedVms);
  policy.max_unmanaged_vms.reset();
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
}

}  // namespace
}  // namespace vmattest::verifier
