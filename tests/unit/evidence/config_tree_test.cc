#include "evidence/config_tree.h"

#include "crypto/digest.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "merkle/tree.h"
#include "support/matchers.h"

namespace vmattest::evidence {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::vector<ConfigLeaf> SomeLeaves() {
  return {{"name", LeafType::kText, "web"},
          {"memory/max", LeafType::kSize, "268435456"},
          {"vcpu/count", LeafType::kInteger, "2"}};
}

ConfigTree Build(std::vector<ConfigLeaf> leaves,
                 HashAlgorithm algorithm = HashAlgorithm::kSha256) {
  return *BuildConfigTree(algorithm, std::move(leaves), SecretBytes());
}

TEST(EncodeLeaf, IsTheDocumentedBytes) {
  EXPECT_EQ(ToHex(EncodeLeaf({"memory/max", LeafType::kSize, "268435456"}, {})),
            "00000000"
            "0000000a6d656d6f72792f6d6178"
            "0000000473697a65"
            "00000009323638343335343536");
}

TEST(EncodeLeaf, PartsCannotRunIntoEachOther) {
  EXPECT_NE(EncodeLeaf({"ab", LeafType::kText, "c"}, {}),
            EncodeLeaf({"a", LeafType::kText, "bc"}, {}));
  const Bytes salt = ToBytes("a");
  EXPECT_NE(EncodeLeaf({"b", LeafType::kText, ""}, salt),
            EncodeLeaf({"ab", LeafType::kText, ""}, {}));
}

TEST(ConfigTree, HeaderLeafIsFirstAndCountsItself) {
  const ConfigTree tree = Build(SomeLeaves());
  ASSERT_THAT(tree.leaves, SizeIs(4));
  EXPECT_EQ(tree.leaves[0], (ConfigLeaf{"@tree", LeafType::kHeader,
                                        "schema=1 algorithm=sha256 leaves=4"}));
  EXPECT_EQ(tree.leaves[1].path, "memory/max");
  EXPECT_EQ(tree.leaves[3].path, "vcpu/count");
}

TEST(ConfigTree, RootIsTheTreeHashOfRfc6962) {
  const ConfigTree tree = Build(SomeLeaves());
  const HashAlgorithm sha256 = HashAlgorithm::kSha256;
  std::vector<DigestBytes> hashes;
  for (const ConfigLeaf& leaf : tree.leaves) {
    Bytes input = {0x00};
    const Bytes encoded = EncodeLeaf(leaf, {});
    input.insert(input.end(), encoded.begin(), encoded.end());
    hashes.push_back(Hash(sha256, input));
  }
  const auto node = [](const DigestBytes& left, const DigestBytes& right) {
    Bytes input = {0x01};
    input.insert(input.end(), left.begin(), left.end());
    input.insert(input.end(), right.begin(), right.end());
    return Hash(HashAlgorithm::kSha256, input);
  };
  EXPECT_EQ(tree.digests, hashes);
  EXPECT_EQ(tree.root,
            node(node(hashes[0], hashes[1]), node(hashes[2], hashes[3])));
}

TEST(ConfigTree, OrderOfInputDoesNotMatter) {
  std::vector<ConfigLeaf> reversed = SomeLeaves();
  std::reverse(reversed.begin(), reversed.end());
  EXPECT_EQ(Build(SomeLeaves()).root, Build(reversed).root);
}

TEST(ConfigTree, EveryPartOfEveryLeafCounts) {
  const DigestBytes root = Build(SomeLeaves()).root;
  for (size_t i = 0; i < SomeLeaves().size(); ++i) {
    std::vector<ConfigLeaf> changed = SomeLeaves();
    changed[i].path += "x";
    EXPECT_NE(Build(changed).root, root);
    changed = SomeLeaves();
    changed[i].type = LeafType::kPresence;
    EXPECT_NE(Build(changed).root, root);
    changed = SomeLeaves();
    changed[i].value += "x";
    EXPECT_NE(Build(changed).root, root);
    changed = SomeLeaves();
    changed.erase(changed.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_NE(Build(changed).root, root);
  }
}

TEST(ConfigTree, AlgorithmsHaveDistinctRootsOfTheirSize) {
  std::vector<DigestBytes> roots;
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    roots.push_back(Build(SomeLeaves(), algorithm).root);
    EXPECT_THAT(roots.back(), SizeIs(DigestSize(algorithm)));
  }
  std::sort(roots.begin(), roots.end());
  EXPECT_EQ(std::adjacent_find(roots.begin(), roots.end()), roots.end());
}

TEST(ConfigTree, SaltHidesLeavesAndIsDerivedPerPath) {
  ASSERT_OK_AND_ASSIGN(
      const ConfigTree salted,
      BuildConfigTree(HashAlgorithm::kSha256, SomeLeaves(),
                      SecretBytes(ToBytes("a secret of this VM"))));
  const ConfigTree open = Build(SomeLeaves());
  for (size_t i = 0; i < open.digests.size(); ++i) {
    EXPECT_NE(salted.digests[i], open.digests[i]);
  }
  const Bytes salt = HmacSha256(SecretBytes(ToBytes("a secret of this VM")),
                                AsBytes("memory/max"));
  EXPECT_EQ(salted.digests[1],
            merkle::LeafHash(HashAlgorithm::kSha256,
                             EncodeLeaf(salted.leaves[1], salt)));
}

TEST(ConfigTree, RefusesTwoLeavesWithOnePath) {
  std::vector<ConfigLeaf> leaves = SomeLeaves();
  leaves.push_back({"name", LeafType::kText, "other"});
  EXPECT_THAT(BuildConfigTree(HashAlgorithm::kSha256, leaves, SecretBytes()),
              StatusIs(kInvalid, HasSubstr("'name': the path occurs twice")));
}

TEST(ConfigTree, RefusesEmptyAndReservedPaths) {
  for (const char* path : {"", "@tree", "@other"}) {
    EXPECT_THAT(BuildConfigTree(HashAlgorithm::kSha256,
                                {{path, LeafType::kText, "x"}}, SecretBytes()),
                StatusIs(kInvalid, HasSubstr("path")));
  }
}

TEST(RebuildConfigTree, GivesTheTreeBack) {
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    const ConfigTree tree = Build(SomeLeaves(), algorithm);
    ASSERT_OK_AND_ASSIGN(const ConfigTree again,
                         RebuildConfigTree(algorithm, tree.leaves));
    EXPECT_EQ(again.root, tree.root);
    EXPECT_EQ(again.digests, tree.digests);
  }
}

ConfigTree WithSubtree(std::vector<ConfigLeaf> below,
                       const SecretBytes& salt = {}) {
  auto built = BuildSubtree(HashAlgorithm::kSha256, "disk[vda]/inside",
                            std::move(below), salt);
  std::vector<ConfigLeaf> leaves = SomeLeaves();
  leaves.push_back(built->leaf);
  ConfigTree tree =
      BuildConfigTree(HashAlgorithm::kSha256, leaves, salt).value();
  tree.subtrees.push_back(built->subtree);
  return tree;
}

absl::Status Check(const ConfigTree& tree, const SecretBytes& salt = {}) {
  return CheckSubtrees(tree.algorithm, tree.leaves, tree.subtrees, salt);
}

const std::vector<ConfigLeaf> kPackages = {
    {"package[bash:amd64]", LeafType::kText, "5.2"},
    {"package[zlib1g:amd64]", LeafType::kText, "1.3"}};

TEST(Subtree, ChangesTheRootAboveItWithEachOfItsLeaves) {
  const ConfigTree tree = WithSubtree(kPackages);
  EXPECT_THAT(Check(tree), IsOk());
  std::vector<ConfigLeaf> upgraded = kPackages;
  upgraded[0].value = "5.3";
  EXPECT_NE(WithSubtree(upgraded).root, tree.root);
}

TEST(Subtree, IsRefusedIfItsLeavesAreNotThoseOfItsRoot) {
  ConfigTree tree = WithSubtree(kPackages);
  tree.subtrees[0].leaves.back().value = "1.4";
  EXPECT_THAT(Check(tree), StatusIs(kInvalid, HasSubstr("disk[vda]/inside")));
}

TEST(Subtree, IsRefusedIfItIsMissingOrSurplus) {
  ConfigTree tree = WithSubtree(kPackages);
  const ConfigSubtree subtree = tree.subtrees[0];
  tree.subtrees.clear();
  EXPECT_THAT(Check(tree), StatusIs(kInvalid, HasSubstr("missing")));
  tree.subtrees = {subtree, subtree};
  EXPECT_THAT(Check(tree), StatusIs(kInvalid, HasSubstr("below no leaf")));
}

TEST(Subtree, HoldsNoTrees) {
  EXPECT_THAT(BuildSubtree(HashAlgorithm::kSha256, "inside",
                           {{"a", LeafType::kTree, "sha256:00 leaves=1"}},
                           SecretBytes()),
              StatusIs(kInvalid, HasSubstr("tree within a tree")));
}

TEST(Subtree, IsSaltedByItsPlaceToo) {
  const SecretBytes salt(Bytes(32, 7));
  const ConfigTree tree = WithSubtree(kPackages, salt);
  EXPECT_THAT(Check(tree, salt), IsOk());
  EXPECT_FALSE(Check(tree).ok());
  const auto elsewhere =
      BuildSubtree(HashAlgorithm::kSha256, "disk[vdb]/inside", kPackages, salt);
  EXPECT_NE(elsewhere->leaf.value, tree.leaves.back().value);
}

TEST(Subtree, IsNamedByPathInOneList) {
  const ConfigTree tree = WithSubtree(kPackages);
  const std::vector<ConfigLeaf> flat = Flatten(tree.leaves, tree.subtrees);
  EXPECT_EQ(flat.size(), tree.leaves.size() - 1 + kPackages.size());
  std::vector<ConfigLeaf> upgraded = kPackages;
  upgraded[1].value = "1.4";
  const ConfigTree other = WithSubtree(upgraded);
  const auto differences =
      CompareLeaves(flat, Flatten(other.leaves, other.subtrees));
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].path, "disk[vda]/inside/package[zlib1g:amd64]");
}

TEST(RebuildConfigTree, NamesTheFirstLeafThatIsWrong) {
  const std::vector<ConfigLeaf> good = Build(SomeLeaves()).leaves;
  const auto rebuild = [](const std::vector<ConfigLeaf>& leaves) {
    return RebuildConfigTree(HashAlgorithm::kSha256, leaves);
  };
  EXPECT_THAT(rebuild({}), StatusIs(kInvalid, HasSubstr("no leaves")));

  std::vector<ConfigLeaf> leaves = good;
  leaves.pop_back();
  EXPECT_THAT(rebuild(leaves), StatusIs(kInvalid, HasSubstr("leaves=4")));

  leaves = good;
  std::swap(leaves[1], leaves[2]);
  EXPECT_THAT(rebuild(leaves),
              StatusIs(kInvalid, HasSubstr("leaf 2 'memory/max': out of")));

  leaves = good;
  leaves[2].path = leaves[1].path;
  EXPECT_THAT(rebuild(leaves), StatusIs(kInvalid, HasSubstr("occurs twice")));

  leaves = good;
  leaves[3].path.clear();
  EXPECT_THAT(rebuild(leaves), StatusIs(kInvalid, HasSubstr("leaf 3: empty")));

  leaves = good;
  leaves[3].type = LeafType::kHeader;
  EXPECT_THAT(rebuild(leaves), StatusIs(kInvalid, HasSubstr("'header'")));

  leaves = good;
  leaves[3].type = static_cast<LeafType>(200);
  EXPECT_THAT(rebuild(leaves), StatusIs(kInvalid, HasSubstr("'unknown'")));
}

TEST(RebuildConfigTree, RefusesAHeaderOfAnotherTree) {
  const std::vector<ConfigLeaf> good = Build(SomeLeaves()).leaves;
  EXPECT_THAT(RebuildConfigTree(HashAlgorithm::kSha384, good),
              StatusIs(kInvalid, HasSubstr("algorithm=sha384")));
  for (const char* value :
       {"schema=2 algorithm=sha256 leaves=4", "schema=1 algorithm=sha256",
        "schema=1 algorithm=sha256 leaves=04", ""}) {
    std::vector<ConfigLeaf> leaves = good;
    leaves[0].value = value;
    EXPECT_THAT(RebuildConfigTree(HashAlgorithm::kSha256, leaves),
                StatusIs(kInvalid, HasSubstr("leaf 0 '@tree'")));
  }
}

TEST(CompareLeaves, SaysWhatWasAddedRemovedAndChanged) {
  std::vector<ConfigLeaf> found = SomeLeaves();
  found[0].value = "web2";
  found[2] = {"vcpu/current", LeafType::kInteger, "1"};
  const auto differences =
      CompareLeaves(Build(SomeLeaves()).leaves, Build(found).leaves);
  using Kind = LeafDifference::Kind;
  ASSERT_THAT(differences,
              ElementsAre(Field(&LeafDifference::kind, Kind::kChanged),
                          Field(&LeafDifference::kind, Kind::kRemoved),
                          Field(&LeafDifference::kind, Kind::kAdded)));
  EXPECT_EQ(differences[0].path, "name");
  EXPECT_EQ(differences[0].expected, "text web");
  EXPECT_EQ(differences[0].found, "text web2");
  EXPECT_EQ(differences[1].path, "vcpu/count");
  EXPECT_EQ(differences[1].found, "");
  EXPECT_EQ(differences[2].path, "vcpu/current");
  EXPECT_EQ(differences[2].expected, "");
}

TEST(CompareLeaves, EqualSetsHaveNoDifference) {
  EXPECT_THAT(CompareLeaves(Build(SomeLeaves()).leaves, SomeLeaves()),
              SizeIs(0));
}

TEST(CompareLeaves, SeesTypeChangeWithEqualText) {
  EXPECT_THAT(CompareLeaves({{"a", LeafType::kText, "1"}},
                            {{"a", LeafType::kInteger, "1"}}),
              SizeIs(1));
}

}  // namespace
}  // namespace vmattest::evidence
