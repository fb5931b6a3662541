#include "merkle/tree.h"

#include <openssl/evp.h>

#include <random>

#include "crypto/digest.h"
#include "nlohmann/json.hpp"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest::merkle {
namespace {

using nlohmann::json;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

constexpr HashAlgorithm kSha256 = HashAlgorithm::kSha256;

DigestBytes FromBase64(const std::string& text) {
  DigestBytes bytes(text.size() / 4 * 3 + 3);
  const int size = EVP_DecodeBlock(
      bytes.data(), reinterpret_cast<const uint8_t*>(text.data()),
      static_cast<int>(text.size()));
  EXPECT_GE(size, 0) << text;
  size_t padding = 0;
  while (padding < text.size() && text[text.size() - 1 - padding] == '=') {
    ++padding;
  }
  bytes.resize(static_cast<size_t>(size) - padding);
  return bytes;
}

std::vector<DigestBytes> Path(const json& proof) {
  std::vector<DigestBytes> path;
  for (const json& node : proof) {
    path.push_back(FromBase64(node));
  }
  return path;
}

// RFC 6962 section 2.1, word by word.
using Leaves = std::vector<DigestBytes>;

Leaves Slice(const Leaves& leaves, size_t begin, size_t end) {
  return {leaves.begin() + static_cast<ptrdiff_t>(begin),
          leaves.begin() + static_cast<ptrdiff_t>(end)};
}
size_t Split(size_t n) {
  size_t k = 1;
  while (k * 2 < n) {
    k *= 2;
  }
  return k;
}
DigestBytes SlowRoot(HashAlgorithm algorithm, const Leaves& d) {
  if (d.empty()) {
    return Hash(algorithm, {});
  }
  if (d.size() == 1) {
    return d[0];
  }
  const size_t k = Split(d.size());
  Bytes node{0x01};
  for (const Leaves& half : {Slice(d, 0, k), Slice(d, k, d.size())}) {
    const DigestBytes hash = SlowRoot(algorithm, half);
    node.insert(node.end(), hash.begin(), hash.end());
  }
  return Hash(algorithm, node);
}
Leaves SlowPath(HashAlgorithm algorithm, size_t m, const Leaves& d) {
  if (d.size() == 1) {
    return {};
  }
  const size_t k = Split(d.size());
  const bool left = m < k;
  Leaves path = left ? SlowPath(algorithm, m, Slice(d, 0, k))
                     : SlowPath(algorithm, m - k, Slice(d, k, d.size()));
  path.push_back(
      SlowRoot(algorithm, left ? Slice(d, k, d.size()) : Slice(d, 0, k)));
  return path;
}
Leaves SlowSubProof(HashAlgorithm algorithm, size_t m, const Leaves& d,
                    bool whole) {
  if (m == d.size()) {
    return whole ? Leaves{} : Leaves{SlowRoot(algorithm, d)};
  }
  const size_t k = Split(d.size());
  const bool left = m <= k;
  Leaves path =
      left ? SlowSubProof(algorithm, m, Slice(d, 0, k), whole)
           : SlowSubProof(algorithm, m - k, Slice(d, k, d.size()), false);
  path.push_back(
      SlowRoot(algorithm, left ? Slice(d, k, d.size()) : Slice(d, 0, k)));
  return path;
}

Leaves RandomLeaves(HashAlgorithm algorithm, size_t count) {
  Leaves leaves;
  for (size_t i = 0; i < count; ++i) {
    leaves.push_back(LeafHash(algorithm, RandomBytes(1 + i % 40)));
  }
  return leaves;
}

TEST(MerkleTree, AgreesWithThePublishedRoots) {
  VMATTEST_REQUIRE_VECTORS(folder, "rfc6962-merkle");
  const json file =
      json::parse(vmattest::testing::Slurp(folder / "roots.json"));
  Leaves leaves;
  for (size_t size = 0; size <= 8; ++size) {
    EXPECT_EQ(ToHex(Tree(kSha256, leaves).Root()),
              file["root_hex_by_tree_size"][size].get<std::string>());
    if (size < 8) {
      leaves.push_back(LeafHash(
          kSha256,
          ParseHex(file["leaf_inputs_hex"][size].get<std::string>()).value()));
    }
  }
  const json& leaf = file["leaf_hash"][0];
  EXPECT_EQ(
      ToHex(LeafHash(
          kSha256, AsBytes(leaf["input_utf8"].get_ref<const std::string&>()))),
      leaf["hash_hex"].get<std::string>());
  const json& node = file["node_hash"][0];
  EXPECT_EQ(
      ToHex(NodeHash(
          kSha256, AsBytes(node["left_utf8"].get_ref<const std::string&>()),
          AsBytes(node["right_utf8"].get_ref<const std::string&>()))),
      node["hash_hex"].get<std::string>());
}

TEST(MerkleTree, AgreesWithTheTilesOfARealLog) {
  VMATTEST_REQUIRE_VECTORS(folder, "rfc6962-merkle");
  const std::pair<const char*, const char*> tiles[] = {
      {"000",
       "6c80217987879103977872b0d0f2a3b6d989da11ad194fd50f15396f44806fe7"},
      {"001",
       "e36486bed68531bb26a4d3d317506620bd66f6b2731e306d65a20e18ca3769c1"},
      {"002",
       "135816f749a0354a227b239f85824ea2f746cf94eef8c9452632554b22aa04af"},
      {"003",
       "a3847a463cb907038fad5b3472e5dbdbbb6b548aa0b121138ff49f6d3cb45bfe"}};
  for (const auto& [name, root] : tiles) {
    const std::string tile =
        vmattest::testing::Slurp(folder / "sunlight-tiles/tile/0" / name);
    ASSERT_EQ(tile.size(), 256u * 32);
    Leaves leaves;
    for (size_t i = 0; i < 256; ++i) {
      leaves.push_back(ToBytes(std::string_view(tile).substr(i * 32, 32)));
    }
    EXPECT_EQ(ToHex(Tree(kSha256, leaves).Root()), root) << name;
  }
}

TEST(MerkleTree, JudgesThePublishedInclusionProofs) {
  VMATTEST_REQUIRE_VECTORS(folder, "rfc6962-merkle");
  size_t accepted = 0;
  for (const json& test :
       json::parse(vmattest::testing::Slurp(folder / "inclusion.json"))) {
    const bool good =
        VerifyInclusion(kSha256, test["leafIdx"], test["treeSize"],
                        FromBase64(test["leafHash"]), Path(test["proof"]),
                        FromBase64(test["root"]));
    EXPECT_EQ(good, !test["wantErr"].get<bool>()) << test["file"];
    accepted += good ? 1 : 0;
  }
  EXPECT_EQ(accepted, 5u);
}

TEST(MerkleTree, JudgesThePublishedConsistencyProofs) {
  VMATTEST_REQUIRE_VECTORS(folder, "rfc6962-merkle");
  size_t accepted = 0;
  for (const json& test :
       json::parse(vmattest::testing::Slurp(folder / "consistency.json"))) {
    const bool good = VerifyConsistency(
        kSha256, test["size1"], test["size2"], FromBase64(test["root1"]),
        FromBase64(test["root2"]), Path(test["proof"]));
    EXPECT_EQ(good, !test["wantErr"].get<bool>()) << test["file"];
    accepted += good ? 1 : 0;
  }
  EXPECT_GT(accepted, 3u);
}

class MerkleTreeByAlgorithm : public ::testing::TestWithParam<HashAlgorithm> {};
INSTANTIATE_TEST_SUITE_P(MerkleTree, MerkleTreeByAlgorithm,
                         ::testing::ValuesIn(kAllHashAlgorithms));

TEST_P(MerkleTreeByAlgorithm, EqualsTheSlowReference) {
  const HashAlgorithm algorithm = GetParam();
  std::mt19937 random(20261121);
  for (size_t size = 0; size < 70; ++size) {
    const Leaves leaves = RandomLeaves(algorithm, size);
    const Tree tree(algorithm, leaves);
    ASSERT_EQ(tree.Root(), SlowRoot(algorithm, leaves)) << size;
    if (size == 0) {
      continue;
    }
    const size_t index = random() % size;
    const Leaves path = tree.InclusionProof(index);
    ASSERT_EQ(path, SlowPath(algorithm, index, leaves)) << size;
    EXPECT_TRUE(VerifyInclusion(algorithm, index, size, leaves[index], path,
                                tree.Root()));
    const size_t old_size = 1 + random() % size;
    const Leaves proof = tree.ConsistencyProof(old_size);
    ASSERT_EQ(proof, SlowSubProof(algorithm, old_size, leaves, true)) << size;
    EXPECT_TRUE(
        VerifyConsistency(algorithm, old_size, size,
                          Tree(algorithm, Slice(leaves, 0, old_size)).Root(),
                          tree.Root(), proof));
  }
}

class MerkleProofTest : public ::testing::Test {
 protected:
  static constexpr size_t kSize = 13;
  MerkleProofTest()
      : leaves_(RandomLeaves(kSha256, kSize)), tree_(kSha256, leaves_) {}

  [[nodiscard]] bool Includes(uint64_t index, uint64_t size,
                              const Leaves& path) const {
    return VerifyInclusion(kSha256, index, size, leaves_[5], path,
                           tree_.Root());
  }

  Leaves leaves_;
  Tree tree_;
};

TEST_F(MerkleProofTest, EveryPairOfSizesIsConsistent) {
  for (size_t old_size = 1; old_size <= kSize; ++old_size) {
    const DigestBytes old_root =
        Tree(kSha256, Slice(leaves_, 0, old_size)).Root();
    const Leaves proof = tree_.ConsistencyProof(old_size);
    EXPECT_TRUE(VerifyConsistency(kSha256, old_size, kSize, old_root,
                                  tree_.Root(), proof));
    for (size_t other = 1; other <= kSize + 3; ++other) {
      EXPECT_EQ(VerifyConsistency(kSha256, other, kSize, old_root, tree_.Root(),
                                  proof),
                other == old_size)
          << old_size << " as " << other;
    }
  }
}

TEST_F(MerkleProofTest, RejectsAnotherIndex) {
  const Leaves path = tree_.InclusionProof(5);
  for (uint64_t index = 0; index < 64; ++index) {
    EXPECT_EQ(Includes(index, kSize, path), index == 5) << index;
  }
  EXPECT_FALSE(Includes(UINT64_MAX, UINT64_MAX, path));
}

TEST_F(MerkleProofTest, RejectsAPathOfWrongLength) {
  Leaves longer = tree_.InclusionProof(5);
  longer.push_back(longer.back());
  EXPECT_FALSE(Includes(5, kSize, longer));
  EXPECT_THAT(RootFromInclusion(kSha256, 5, kSize, leaves_[5], longer),
              StatusIs(absl::StatusCode::kInvalidArgument));
  Leaves shorter = tree_.InclusionProof(5);
  shorter.pop_back();
  EXPECT_FALSE(Includes(5, kSize, shorter));
  EXPECT_THAT(RootFromInclusion(kSha256, 5, kSize, leaves_[5], shorter),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(MerkleProofTest, RejectsAFlippedBitAnywhere) {
  for (size_t node = 0; node < tree_.InclusionProof(5).size(); ++node) {
    Leaves path = tree_.InclusionProof(5);
    path[node][node] ^= 0x10;
    EXPECT_FALSE(Includes(5, kSize, path)) << node;
  }
  for (size_t node = 0; node < tree_.ConsistencyProof(6).size(); ++node) {
    Leaves path = tree_.ConsistencyProof(6);
    path[node][31] ^= 1;
    EXPECT_FALSE(VerifyConsistency(kSha256, 6, kSize,
                                   Tree(kSha256, Slice(leaves_, 0, 6)).Root(),
                                   tree_.Root(), path))
        << node;
  }
}

TEST_F(MerkleProofTest, RejectsHashesOfAnotherSize) {
  Leaves path = tree_.InclusionProof(5);
  path[1].push_back(0);
  EXPECT_FALSE(Includes(5, kSize, path));
  path[1].clear();
  EXPECT_FALSE(Includes(5, kSize, path));
}

// A leaf whose bytes look like a node must not have that node's hash.
TEST_F(MerkleProofTest, SeparatesLeavesFromNodes) {
  Bytes forged;
  for (const DigestBytes& leaf : Slice(leaves_, 0, 2)) {
    forged.insert(forged.end(), leaf.begin(), leaf.end());
  }
  EXPECT_NE(LeafHash(kSha256, forged),
            NodeHash(kSha256, leaves_[0], leaves_[1]));
}

TEST(MerkleTree, OfNothingHasTheHashOfNothing) {
  EXPECT_EQ(Tree(kSha256, {}).Root(), Hash(kSha256, {}));
  EXPECT_FALSE(
      VerifyInclusion(kSha256, 0, 0, Hash(kSha256, {}), {}, Hash(kSha256, {})));
}

TEST(MerkleTree, OfOneLeafIsThatLeaf) {
  const DigestBytes leaf = LeafHash(kSha256, AsBytes("only"));
  const Tree tree(kSha256, {leaf});
  EXPECT_EQ(tree.Root(), leaf);
  EXPECT_TRUE(tree.InclusionProof(0).empty());
  EXPECT_THAT(RootFromInclusion(kSha256, 0, 1, leaf, {}), IsOk());
}

}  // namespace
}  // namespace vmattest::merkle
