#include "evidence/disclosure.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "crypto/digest.h"
#include "evidence/config_tree.h"
#include "fmt/format.h"
#include "merkle/tree.h"

namespace vmattest::evidence {
namespace {

constexpr std::string_view kLeaves = " leaves=";

// What a tree leaf's value says: "sha256:ROOT leaves=N".
struct TreeClaim {
  DigestBytes root;
  uint64_t leaf_count = 0;
};

absl::StatusOr<TreeClaim> ParseClaim(HashAlgorithm algorithm,
                                     const ConfigLeaf& leaf) {
  const absl::Status wrong = absl::InvalidArgumentError(
      fmt::format("'{}' is no leaf with a tree below it", leaf.path));
  std::string_view value = leaf.value;
  const std::string prefix = fmt::format("{}:", ToString(algorithm));
  const size_t count_at = value.find(kLeaves);
  if (leaf.type != LeafType::kTree ||
      value.substr(0, prefix.size()) != prefix ||
      count_at == std::string_view::npos) {
    return wrong;
  }
  TreeClaim claim;
  absl::StatusOr<Bytes> root =
      ParseHex(value.substr(prefix.size(), count_at - prefix.size()));
  const std::string_view digits = value.substr(count_at + kLeaves.size());
  const auto [rest, error] = std::from_chars(
      digits.data(), digits.data() + digits.size(), claim.leaf_count);
  if (!root.ok() || error != std::errc() ||
      rest != digits.data() + digits.size()) {
    return wrong;
  }
  claim.root = *std::move(root);
  return claim;
}

absl::StatusOr<DisclosedLeaf> DiscloseFrom(const ConfigTree& tree,
                                           const SecretBytes& vm_salt,
                                           std::string_view place,
                                           std::string_view path) {
  const auto found = std::find_if(
      tree.leaves.begin(), tree.leaves.end(),
      [path](const ConfigLeaf& leaf) { return leaf.path == path; });
  if (found == tree.leaves.end()) {
    return absl::NotFoundError(fmt::format("no leaf '{}'", path));
  }
  const auto index = static_cast<size_t>(found - tree.leaves.begin());
  return DisclosedLeaf{
      .leaf = *found,
      .salt = SaltOf(vm_salt, place, found->path),
      .index = index,
      .path = merkle::Tree(tree.algorithm, tree.digests).InclusionProof(index),
      .parent = {}};
}

}  // namespace

absl::StatusOr<DisclosedLeaf> Disclose(const ConfigTree& tree,
                                       const SecretBytes& vm_salt,
                                       std::string_view path) {
  for (const ConfigSubtree& subtree : tree.subtrees) {
    if (path.size() <= subtree.path.size() ||
        path.substr(0, subtree.path.size()) != subtree.path ||
        path[subtree.path.size()] != '/') {
      continue;
    }
    ASSIGN_OR_RETURN(const ConfigTree below,
                     RebuildSubtree(tree.algorithm, subtree, vm_salt));
    ASSIGN_OR_RETURN_WITH(DisclosedLeaf leaf,
                          DiscloseFrom(below, vm_salt, subtree.path,
                                       path.substr(subtree.path.size() + 1)),
                          subtree.path);
    ASSIGN_OR_RETURN(DisclosedLeaf parent,
                     DiscloseFrom(tree, vm_salt, "", subtree.path));
    leaf.parent.push_back(std::move(parent));
    return leaf;
  }
  return DiscloseFrom(tree, vm_salt, "", path);
}

std::string FullPath(const DisclosedLeaf& leaf) {
  return leaf.parent.empty()
             ? leaf.leaf.path
             : fmt::format("{}/{}", leaf.parent.front().leaf.path,
                           leaf.leaf.path);
}

absl::StatusOr<DigestBytes> DisclosedRoot(HashAlgorithm algorithm,
                                          uint64_t leaf_count,
                                          const DisclosedLeaf& leaf) {
  const DigestBytes hash =
      merkle::LeafHash(algorithm, EncodeLeaf(leaf.leaf, leaf.salt));
  if (leaf.parent.empty()) {
    return merkle::RootFromInclusion(algorithm, leaf.index, leaf_count, hash,
                                     leaf.path);
  }
  const DisclosedLeaf& parent = leaf.parent.front();
  if (leaf.parent.size() > 1 || !parent.parent.empty()) {
    return absl::InvalidArgumentError("a leaf has one parent at most");
  }
  ASSIGN_OR_RETURN(const TreeClaim claim, ParseClaim(algorithm, parent.leaf));
  ASSIGN_OR_RETURN(
      const DigestBytes root,
      merkle::RootFromInclusion(algorithm, leaf.index, claim.leaf_count, hash,
                                leaf.path));
  if (root != claim.root) {
    return absl::InvalidArgumentError(fmt::format(
        "'{}' is not below '{}'", leaf.leaf.path, parent.leaf.path));
  }
  return DisclosedRoot(algorithm, leaf_count, parent);
}

}  // namespace vmattest::evidence
