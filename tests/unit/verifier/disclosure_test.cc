#include "vmattest/verifier/disclosure.h"

#include <gmock/gmock.h>

#include "evidence/config_tree.h"
#include "support/matchers.h"
#include "verifier/reason_codes.h"
#include "verifier_fixture.h"

namespace vmattest::verifier {
namespace {

using ::testing::ElementsAre;
using testing::StatusIs;

constexpr char kInside[] = "disk/vda/inside";
constexpr char kBash[] = "disk/vda/inside/package[bash:amd64]";

class DisclosureTest : public VerifierFixture {
 protected:
  DisclosureTest() {
    builder.vm_salt = Bytes(32, 9);
    builder.subtrees[kInside] = {
        {"package[bash:amd64]", LeafType::kText, "5.2"},
        {"table", LeafType::kText, "gpt"}};
  }

  evidence::Disclosure Both() {
    return builder.BuildDisclosure({"memory/max", kBash});
  }
  Appraisal Appraise(ByteView file) {
    absl::StatusOr<Appraisal> appraisal =
        VerifyDisclosure(file, anchors, policy, now);
    EXPECT_TRUE(appraisal.ok()) << appraisal.status().ToString();
    return appraisal.ok() ? *std::move(appraisal) : Appraisal();
  }
  Appraisal Appraise(const evidence::Disclosure& disclosure) {
    return Appraise(wire::EncodeDisclosure(disclosure));
  }
  void ExpectReason(const evidence::Disclosure& disclosure,
                    std::string_view code) {
    const Appraisal appraisal = Appraise(disclosure);
    EXPECT_FALSE(appraisal.verdict.trusted());
    EXPECT_EQ(Codes(appraisal), code);
  }
};

TEST_F(DisclosureTest, SaltedLeavesAreTrustedWithoutTheOthers) {
  const Appraisal appraisal = Appraise(Both());
  EXPECT_TRUE(appraisal.verdict.trusted()) << Codes(appraisal);
  EXPECT_TRUE(appraisal.genuine);
  EXPECT_THAT(
      appraisal.claims.leaves,
      ElementsAre(ConfigLeaf{"memory/max", LeafType::kSize, "536870912"},
                  ConfigLeaf{kBash, LeafType::kText, "5.2"}));
  EXPECT_EQ(appraisal.claims.leaf_count, builder.leaves.size() + 2);
  EXPECT_EQ(appraisal.claims.vm_name, "web-1");
}

TEST_F(DisclosureTest, PublicLeavesAreTrustedToo) {
  builder.vm_salt.clear();
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    builder.algorithm = algorithm;
    EXPECT_TRUE(Appraise(Both()).verdict.trusted()) << ToString(algorithm);
  }
}

TEST_F(DisclosureTest, HoldsNoOtherLeaf) {
  const Bytes file =
      wire::EncodeDisclosure(builder.BuildDisclosure({"memory/max"}));
  for (const ConfigLeaf& leaf : builder.leaves) {
    if (leaf.path != "memory/max") {
      EXPECT_EQ(AsText(file).find(leaf.path + "\x12"), std::string::npos)
          << leaf.path;
    }
  }
  EXPECT_EQ(AsText(file).find("/images/web.qcow2"), std::string::npos);
  EXPECT_EQ(AsText(file).find(AsText(builder.vm_salt)), std::string::npos);
}

TEST_F(DisclosureTest, RejectsEverySingleBitFlip) {
  Bytes file = wire::EncodeDisclosure(Both());
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    const auto mask = static_cast<uint8_t>(1u << (bit % 8));
    file[bit / 8] ^= mask;
    ASSERT_FALSE(Appraise(file).verdict.trusted())
        << "bit " << bit % 8 << " of byte " << bit / 8;
    file[bit / 8] ^= mask;
  }
  EXPECT_TRUE(Appraise(file).verdict.trusted());
}

// Leaves are not signed as a set: whoever passes a disclosure on may leave some
// out. Everything else that is cut off is missed.
TEST_F(DisclosureTest, RejectsTruncationExceptBetweenLeaves) {
  const Bytes file = wire::EncodeDisclosure(Both());
  evidence::Disclosure first = Both();
  first.leaves.pop_back();
  const size_t border = wire::EncodeDisclosure(first).size();
  for (size_t size = 0; size < file.size(); ++size) {
    ASSERT_EQ(Appraise(ByteView(file).first(size)).verdict.trusted(),
              size == border)
        << size << " bytes";
  }
  EXPECT_EQ(Codes(Appraise(ByteView(file).first(border / 2))),
            reason::kDisclosureMalformed);
  EXPECT_EQ(Appraise(ByteView(file).first(border)).claims.leaves.size(), 1u);
}

TEST_F(DisclosureTest, IsNoEvidenceAndTheOtherWayRound) {
  EXPECT_EQ(Codes(Appraise(builder.BuildFile())), reason::kDisclosureMalformed);
  VerifierFixture::ExpectReason(wire::EncodeDisclosure(Both()),
                                reason::kEvidenceMalformed);
}

TEST_F(DisclosureTest, RejectsOneWithoutLeaves) {
  evidence::Disclosure disclosure = Both();
  disclosure.leaves.clear();
  ExpectReason(disclosure, reason::kDisclosureEmpty);
}

TEST_F(DisclosureTest, RejectsALeafTwice) {
  evidence::Disclosure disclosure = Both();
  disclosure.leaves.push_back(disclosure.leaves.front());
  ExpectReason(disclosure, reason::kDisclosureDuplicate);
}

TEST_F(DisclosureTest, RejectsEditedLeaves) {
  for (const auto& edit : std::vector<std::function<void(ConfigLeaf&)>>{
           [](ConfigLeaf& leaf) { leaf.value = "5.3"; },
           [](ConfigLeaf& leaf) { leaf.path += "x"; },
           [](ConfigLeaf& leaf) { leaf.type = LeafType::kPresence; }}) {
    for (const size_t leaf : {0, 1}) {
      evidence::Disclosure disclosure = Both();
      edit(disclosure.leaves[leaf].leaf);
      ExpectReason(disclosure, reason::kDisclosureRoot);
    }
    evidence::Disclosure disclosure = Both();
    edit(disclosure.leaves[1].parent[0].leaf);
    ExpectReason(disclosure, reason::kDisclosureRoot);
  }
}

TEST_F(DisclosureTest, RejectsALeafOfTheMainTreeMovedUnderASubtree) {
  evidence::Disclosure disclosure = Both();
  disclosure.leaves[0].parent = disclosure.leaves[1].parent;
  ExpectReason(disclosure, reason::kDisclosureRoot);
  disclosure = Both();
  disclosure.leaves[1].parent.clear();
  ExpectReason(disclosure, reason::kDisclosureRoot);
}

TEST_F(DisclosureTest, RejectsAnotherPlaceOrPath) {
  evidence::Disclosure disclosure = Both();
  disclosure.leaves[0].index ^= 1;
  ExpectReason(disclosure, reason::kDisclosureRoot);
  disclosure = Both();
  disclosure.leaves[0].index = std::numeric_limits<uint64_t>::max();
  ExpectReason(disclosure, reason::kDisclosureRoot);
  disclosure = Both();
  disclosure.leaves[0].path.pop_back();
  ExpectReason(disclosure, reason::kDisclosureRoot);
  disclosure = Both();
  disclosure.leaves[0].path[0][0] ^= 1;
  ExpectReason(disclosure, reason::kDisclosureRoot);
}

TEST_F(DisclosureTest, RejectsSaltsThatDoNotFitTheStatement) {
  evidence::Disclosure disclosure = Both();
  disclosure.leaves[0].salt.clear();
  ExpectReason(disclosure, reason::kDisclosureSalt);
  disclosure = Both();
  disclosure.leaves[1].parent[0].salt.push_back(0);
  ExpectReason(disclosure, reason::kDisclosureSalt);
  disclosure = Both();
  disclosure.leaves[0].salt[0] ^= 1;
  ExpectReason(disclosure, reason::kDisclosureRoot);
  builder.vm_salt.clear();
  disclosure = Both();
  disclosure.leaves[0].salt = Bytes(32, 1);
  ExpectReason(disclosure, reason::kDisclosureSalt);
}

TEST_F(DisclosureTest, RejectsLeavesUnderAnotherStatement) {
  evidence::Disclosure disclosure = Both();
  builder.leaves.front().value = "4";
  disclosure.envelope = builder.Build().envelope;
  ExpectReason(disclosure, reason::kDisclosureRoot);
}

TEST_F(DisclosureTest, ChecksOfTheEnvelopeComeFirst) {
  evidence::Disclosure disclosure = Both();
  disclosure.leaves.clear();
  policy.nonce = Bytes(32, 0x77);
  ExpectReason(disclosure, reason::kNonceMismatch);
  builder.pcrs.values[6].assign(32, 0);
  ExpectReason(Both(), reason::kPcrUnmeasured);
  disclosure = Both();
  disclosure.keys.clear();
  ExpectReason(disclosure, reason::kKeyMissing);
}

TEST_F(DisclosureTest, CannotBeOfAHostLogStatement) {
  evidence::HostLogStatement statement;
  statement.header = builder.header;
  statement.header.vm_uuid.clear();
  statement.header.vm_name.clear();
  statement.header.host =
      evidence::HostState{.log_size = 3, .log_head = Bytes(32, 1)};
  statement.log_pcr = 13;
  statement.boot_record = 1;
  evidence::Disclosure disclosure = Both();
  disclosure.envelope = builder
                            .Seal(std::string(evidence::kHostLogPayloadType),
                                  wire::EncodeHostLogStatement(statement))
                            .envelope;
  const Appraisal appraisal = Appraise(disclosure);
  EXPECT_FALSE(appraisal.genuine);
}

TEST_F(DisclosureTest, CannotDecideWithoutAnchors) {
  EXPECT_THAT(
      VerifyDisclosure(wire::EncodeDisclosure(Both()), Anchors(), policy, now),
      StatusIs(absl::StatusCode::kFailedPrecondition));
}

// The policy.

TEST_F(DisclosureTest, OnlyDisclosedLeavesAreCompared) {
  const ConfigTree tree = builder.BuildTree();
  policy.expected_leaves = evidence::Flatten(tree.leaves, tree.subtrees);
  policy.expected_root = tree.root;
  EXPECT_TRUE(Appraise(Both()).verdict.trusted());
  const evidence::Disclosure header =
      builder.BuildDisclosure({"@tree", "disk/vda/inside/@tree"});
  EXPECT_TRUE(Appraise(header).verdict.trusted());
}

TEST_F(DisclosureTest, DisclosedLeafThatIsNotAsExpectedIsNamed) {
  policy.expected_leaves = {{"memory/max", LeafType::kSize, "1024"},
                            {kBash, LeafType::kText, "5.3"},
                            {"name", LeafType::kText, "other"}};
  const Appraisal appraisal = Appraise(Both());
  EXPECT_TRUE(appraisal.genuine);
  EXPECT_EQ(Codes(appraisal), "config-leaf-changed config-leaf-changed");
  EXPECT_EQ(appraisal.verdict.reasons[0].element, "memory/max");
  EXPECT_EQ(appraisal.verdict.reasons[1].element, kBash);
  EXPECT_EQ(appraisal.verdict.reasons[1].found, "text 5.2");
}

TEST_F(DisclosureTest, DisclosedLeafThatNobodyExpectsIsAdded) {
  policy.expected_leaves = {{kBash, LeafType::kText, "5.2"}};
  ExpectReason(Both(), reason::kConfigLeafAdded);
}

TEST_F(DisclosureTest, LeafBelowAnExpectedTreeLeafIsComparedThroughIt) {
  const ConfigTree tree = builder.BuildTree();
  policy.expected_leaves = tree.leaves;  // without those of subtrees
  EXPECT_TRUE(Appraise(Both()).verdict.trusted());
  builder.subtrees[kInside][1].value = "mbr";
  const Appraisal appraisal = Appraise(Both());
  ASSERT_EQ(Codes(appraisal), reason::kConfigLeafChanged);
  EXPECT_EQ(appraisal.verdict.reasons[0].element, kInside);
}

TEST_F(DisclosureTest, AnotherRootOrVmIsRefused) {
  policy.expected_root = Bytes(32, 1);
  policy.expected_vm_uuid = "00000000-0000-0000-0000-000000000001";
  ExpectReason(Both(), "vm-uuid-mismatch config-root-mismatch");
}

TEST_F(DisclosureTest, DisclosedUnavailableContentIsRefusedOnDemand) {
  builder.subtrees[kInside].push_back(
      {"partition[2]", LeafType::kUnavailable, "encrypted"});
  policy.refuse_unavailable = true;
  EXPECT_TRUE(Appraise(Both()).verdict.trusted());
  ExpectReason(builder.BuildDisclosure({"disk/vda/inside/partition[2]"}),
               reason::kContentUnavailable);
}

}  // namespace
}  // namespace vmattest::verifier
