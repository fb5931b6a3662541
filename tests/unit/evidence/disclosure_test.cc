#include "evidence/disclosure.h"

#include "evidence/config_tree.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"

namespace vmattest::evidence {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr char kBash[] = "disk[vda]/inside/package[bash:amd64]";

class DisclosureTest : public ::testing::TestWithParam<bool> {
 protected:
  DisclosureTest() {
    BuiltSubtree inside =
        BuildSubtree(HashAlgorithm::kSha256, "disk[vda]/inside",
                     {{"package[bash:amd64]", LeafType::kText, "5.2"},
                      {"package[zlib1g:amd64]", LeafType::kText, "1.3"},
                      {"table", LeafType::kText, "gpt"}},
                     salt_)
            .value();
    tree_ = BuildConfigTree(HashAlgorithm::kSha256,
                            {{"cpu/count", LeafType::kInteger, "2"},
                             {"memory/max", LeafType::kSize, "1024"},
                             {"name", LeafType::kText, "web"},
                             inside.leaf},
                            salt_)
                .value();
    tree_.subtrees.push_back(inside.subtree);
  }
  absl::StatusOr<DigestBytes> Root(const DisclosedLeaf& leaf) {
    return DisclosedRoot(tree_.algorithm, tree_.leaves.size(), leaf);
  }

  const SecretBytes salt_{GetParam() ? Bytes(32, 9) : Bytes()};
  ConfigTree tree_;
};

TEST_P(DisclosureTest, EveryLeafLeadsToTheSignedRoot) {
  for (const ConfigLeaf& leaf : Flatten(tree_.leaves, tree_.subtrees)) {
    ASSERT_OK_AND_ASSIGN(const DisclosedLeaf disclosed,
                         Disclose(tree_, salt_, leaf.path));
    EXPECT_EQ(disclosed.leaf.value, leaf.value);
    EXPECT_EQ(FullPath(disclosed), leaf.path);
    EXPECT_EQ(disclosed.salt.empty(), !GetParam());
    EXPECT_EQ(Root(disclosed).value(), tree_.root) << leaf.path;
  }
}

TEST_P(DisclosureTest, AnotherValueLeadsElsewhere) {
  ASSERT_OK_AND_ASSIGN(DisclosedLeaf leaf, Disclose(tree_, salt_, "name"));
  leaf.leaf.value = "db";
  EXPECT_NE(Root(leaf).value(), tree_.root);
}

TEST_P(DisclosureTest, AnotherPlaceOrSaltLeadsElsewhere) {
  ASSERT_OK_AND_ASSIGN(const DisclosedLeaf good,
                       Disclose(tree_, salt_, "name"));
  DisclosedLeaf leaf = good;
  leaf.salt.push_back(1);
  EXPECT_NE(Root(leaf).value(), tree_.root);
  leaf = good;
  leaf.path[0][0] ^= 1;
  EXPECT_NE(Root(leaf).value(), tree_.root);
  leaf = good;
  leaf.path.pop_back();
  EXPECT_THAT(Root(leaf), StatusIs(kInvalid));
}

TEST_P(DisclosureTest, ALeafOfASubtreeCannotChangeUnnoticed) {
  ASSERT_OK_AND_ASSIGN(const DisclosedLeaf good, Disclose(tree_, salt_, kBash));
  DisclosedLeaf leaf = good;
  leaf.leaf.value = "5.3";
  EXPECT_THAT(Root(leaf), StatusIs(kInvalid, HasSubstr("is not below")));
  leaf = good;
  leaf.parent[0].leaf.value = "sha256:00 leaves=4";
  EXPECT_FALSE(Root(leaf).ok());
  leaf = good;
  leaf.parent[0].leaf.type = LeafType::kText;
  EXPECT_THAT(Root(leaf), StatusIs(kInvalid, HasSubstr("tree below it")));
  leaf = good;
  leaf.parent[0].parent.push_back(good);
  EXPECT_THAT(Root(leaf), StatusIs(kInvalid, HasSubstr("one parent")));
}

TEST_P(DisclosureTest, SaysThatThereIsNoSuchLeaf) {
  for (const char* path : {"", "no/such", "disk[vda]/inside/",
                           "disk[vda]/inside/package[dash:amd64]"}) {
    EXPECT_THAT(Disclose(tree_, salt_, path),
                StatusIs(absl::StatusCode::kNotFound))
        << path;
  }
}

INSTANTIATE_TEST_SUITE_P(Salts, DisclosureTest, ::testing::Bool(),
                         [](const auto& salted) {
                           return salted.param ? "Salted" : "Public";
                         });

// The point of the salt: neighbours' hashes cannot be tried out.
TEST(Disclosure, ShowsNothingThatAGuessCouldBeComparedWith) {
  const SecretBytes salt(Bytes(32, 9));
  const ConfigTree tree = BuildConfigTree(HashAlgorithm::kSha256,
                                          {{"a", LeafType::kText, "x"},
                                           {"b", LeafType::kBoolean, "true"}},
                                          salt)
                              .value();
  const ConfigTree guess = BuildConfigTree(HashAlgorithm::kSha256,
                                           {{"a", LeafType::kText, "x"},
                                            {"b", LeafType::kBoolean, "true"}},
                                           SecretBytes())
                               .value();
  ASSERT_OK_AND_ASSIGN(const DisclosedLeaf leaf, Disclose(tree, salt, "a"));
  for (const DigestBytes& sibling : leaf.path) {
    for (const DigestBytes& guessed : guess.digests) {
      EXPECT_NE(sibling, guessed);
    }
  }
}

}  // namespace
}  // namespace vmattest::evidence
