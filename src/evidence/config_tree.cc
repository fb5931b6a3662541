#include "evidence/config_tree.h"

#include <fmt/core.h>

#include <algorithm>

#include "crypto/digest.h"
#include "merkle/tree.h"

namespace vmattest::evidence {
namespace {

ConfigLeaf HeaderLeaf(HashAlgorithm algorithm, size_t leaf_count) {
  return {std::string(kHeaderLeafPath), LeafType::kHeader,
          fmt::format("schema={} algorithm={} leaves={}", kConfigSchemaVersion,
                      ToString(algorithm), leaf_count)};
}

bool IsReserved(std::string_view path) { return path.front() == '@'; }

absl::Status CheckLeaf(const ConfigLeaf& leaf, size_t index) {
  if (leaf.path.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("leaf {}: empty path", index));
  }
  if (IsReserved(leaf.path)) {
    return absl::InvalidArgumentError(
        fmt::format("leaf {} '{}': reserved path", index, leaf.path));
  }
  if (leaf.type == LeafType::kHeader || ToString(leaf.type) == "unknown") {
    return absl::InvalidArgumentError(
        fmt::format("leaf {} '{}': type '{}' is not one of a plain leaf", index,
                    leaf.path, ToString(leaf.type)));
  }
  return absl::OkStatus();
}

// `leaves` with their header, checked to be strictly ascending.
absl::Status CheckPlainLeaves(std::string_view place,
                              const std::vector<ConfigLeaf>& leaves) {
  for (size_t i = 1; i < leaves.size(); ++i) {
    RETURN_IF_ERROR(CheckLeaf(leaves[i], i));
    if (!place.empty() && leaves[i].type == LeafType::kTree) {
      return absl::InvalidArgumentError(
          fmt::format("leaf {} '{}': a tree within a tree", i, leaves[i].path));
    }
    if (i == 1 || leaves[i - 1].path < leaves[i].path) {
      continue;
    }
    if (leaves[i - 1].path == leaves[i].path) {
      return absl::InvalidArgumentError(fmt::format(
          "leaf {} '{}': the path occurs twice", i, leaves[i].path));
    }
    return absl::InvalidArgumentError(
        fmt::format("leaf {} '{}': out of order after '{}'", i, leaves[i].path,
                    leaves[i - 1].path));
  }
  return absl::OkStatus();
}

// Where a tree stands: what its paths and salts begin with, "" for the main
// one.
std::string Below(std::string_view place, std::string_view path) {
  return place.empty() ? std::string(path) : fmt::format("{}/{}", place, path);
}

ConfigTree HashTree(HashAlgorithm algorithm, std::string_view place,
                    std::vector<ConfigLeaf> leaves,
                    const SecretBytes& vm_salt) {
  ConfigTree tree;
  tree.algorithm = algorithm;
  tree.leaves = std::move(leaves);
  tree.digests.reserve(tree.leaves.size());
  for (const ConfigLeaf& leaf : tree.leaves) {
    tree.digests.push_back(merkle::LeafHash(
        algorithm, EncodeLeaf(leaf, SaltOf(vm_salt, place, leaf.path))));
  }
  tree.root = merkle::Tree(algorithm, tree.digests).Root();
  return tree;
}

std::string Describe(const ConfigLeaf& leaf) {
  return fmt::format("{} {}", ToString(leaf.type), leaf.value);
}

absl::StatusOr<ConfigTree> BuildTree(HashAlgorithm algorithm,
                                     std::string_view place,
                                     std::vector<ConfigLeaf> leaves,
                                     const SecretBytes& vm_salt) {
  std::sort(leaves.begin(), leaves.end());
  leaves.insert(leaves.begin(), HeaderLeaf(algorithm, leaves.size() + 1));
  RETURN_IF_ERROR(CheckPlainLeaves(place, leaves));
  return HashTree(algorithm, place, std::move(leaves), vm_salt);
}

absl::StatusOr<ConfigTree> RebuildTree(HashAlgorithm algorithm,
                                       std::string_view place,
                                       std::vector<ConfigLeaf> leaves,
                                       const SecretBytes& vm_salt) {
  if (leaves.empty()) {
    return absl::InvalidArgumentError("no leaves, not even the header leaf");
  }
  const ConfigLeaf header = HeaderLeaf(algorithm, leaves.size());
  if (leaves.front() != header) {
    return absl::InvalidArgumentError(
        fmt::format("leaf 0 '{}': '{}', expected header leaf '{}' with '{}'",
                    leaves.front().path, Describe(leaves.front()), header.path,
                    Describe(header)));
  }
  RETURN_IF_ERROR(CheckPlainLeaves(place, leaves));
  return HashTree(algorithm, place, std::move(leaves), vm_salt);
}

// What the leaf above a tree holds.
std::string TreeValue(const ConfigTree& tree) {
  return fmt::format("{}:{} leaves={}", ToString(tree.algorithm),
                     ToHex(tree.root), tree.leaves.size());
}

std::vector<ConfigLeaf> SortedWithoutHeader(std::vector<ConfigLeaf> leaves) {
  std::erase_if(leaves, [](const ConfigLeaf& leaf) {
    return leaf.path == kHeaderLeafPath;
  });
  std::sort(leaves.begin(), leaves.end());
  return leaves;
}

}  // namespace

Bytes EncodeLeaf(const ConfigLeaf& leaf, ByteView salt) {
  ByteWriter writer;
  writer.Sized(salt)
      .Sized(leaf.path)
      .Sized(ToString(leaf.type))
      .Sized(leaf.value);
  return std::move(writer).Take();
}

absl::StatusOr<ConfigTree> BuildConfigTree(HashAlgorithm algorithm,
                                           std::vector<ConfigLeaf> leaves,
                                           const SecretBytes& vm_salt) {
  return BuildTree(algorithm, "", std::move(leaves), vm_salt);
}

std::string SaltId(const SecretBytes& vm_salt) {
  if (vm_salt.empty()) {
    return "";
  }
  ByteWriter writer;
  writer.Raw("vmattest/salt/v1").U8(0).Raw(vm_salt.Reveal(SecretAccess()));
  return ToHex(Hash(HashAlgorithm::kSha256, writer.bytes()));
}

absl::StatusOr<BuiltSubtree> BuildSubtree(HashAlgorithm algorithm,
                                          std::string path,
                                          std::vector<ConfigLeaf> leaves,
                                          const SecretBytes& vm_salt) {
  ASSIGN_OR_RETURN_WITH(ConfigTree tree,
                        BuildTree(algorithm, path, std::move(leaves), vm_salt),
                        path);
  return BuiltSubtree{
      .leaf = {path, LeafType::kTree, TreeValue(tree)},
      .subtree = {.path = path, .leaves = std::move(tree.leaves)}};
}

absl::StatusOr<ConfigTree> RebuildConfigTree(HashAlgorithm algorithm,
                                             std::vector<ConfigLeaf> leaves,
                                             const SecretBytes& vm_salt) {
  return RebuildTree(algorithm, "", std::move(leaves), vm_salt);
}

absl::StatusOr<ConfigTree> RebuildSubtree(HashAlgorithm algorithm,
                                          const ConfigSubtree& subtree,
                                          const SecretBytes& vm_salt) {
  return RebuildTree(algorithm, subtree.path, subtree.leaves, vm_salt);
}

Bytes SaltOf(const SecretBytes& vm_salt, std::string_view place,
             std::string_view path) {
  return vm_salt.empty() ? Bytes()
                         : HmacSha256(vm_salt, AsBytes(Below(place, path)));
}

absl::Status CheckSubtrees(HashAlgorithm algorithm,
                           const std::vector<ConfigLeaf>& leaves,
                           const std::vector<ConfigSubtree>& subtrees,
                           const SecretBytes& vm_salt) {
  auto subtree = subtrees.begin();
  for (const ConfigLeaf& leaf : leaves) {
    if (leaf.type != LeafType::kTree) {
      continue;
    }
    if (subtree == subtrees.end() || subtree->path != leaf.path) {
      return absl::InvalidArgumentError(
          fmt::format("'{}': its leaves are missing", leaf.path));
    }
    ASSIGN_OR_RETURN_WITH(const ConfigTree tree,
                          RebuildSubtree(algorithm, *subtree, vm_salt),
                          subtree->path);
    if (TreeValue(tree) != leaf.value) {
      return absl::InvalidArgumentError(
          fmt::format("'{}': its leaves give {}, not {}", leaf.path,
                      TreeValue(tree), leaf.value));
    }
    ++subtree;
  }
  if (subtree != subtrees.end()) {
    return absl::InvalidArgumentError(
        fmt::format("'{}': leaves below no leaf", subtree->path));
  }
  return absl::OkStatus();
}

std::vector<ConfigLeaf> Flatten(std::vector<ConfigLeaf> leaves,
                                const std::vector<ConfigSubtree>& subtrees) {
  for (const ConfigSubtree& subtree : subtrees) {
    std::erase_if(leaves, [&subtree](const ConfigLeaf& leaf) {
      return leaf.path == subtree.path;
    });
    for (const ConfigLeaf& leaf : subtree.leaves) {
      if (leaf.path != kHeaderLeafPath) {
        leaves.push_back(
            {Below(subtree.path, leaf.path), leaf.type, leaf.value});
      }
    }
  }
  return leaves;
}

std::vector<LeafDifference> CompareLeaves(
    const std::vector<ConfigLeaf>& expected,
    const std::vector<ConfigLeaf>& found) {
  const std::vector<ConfigLeaf> before = SortedWithoutHeader(expected);
  const std::vector<ConfigLeaf> after = SortedWithoutHeader(found);
  std::vector<LeafDifference> differences;
  auto old_leaf = before.begin();
  auto new_leaf = after.begin();
  while (old_leaf != before.end() || new_leaf != after.end()) {
    if (new_leaf == after.end() ||
        (old_leaf != before.end() && old_leaf->path < new_leaf->path)) {
      differences.push_back({LeafDifference::Kind::kRemoved, old_leaf->path,
                             Describe(*old_leaf), ""});
      ++old_leaf;
    } else if (old_leaf == before.end() || new_leaf->path < old_leaf->path) {
      differences.push_back({LeafDifference::Kind::kAdded, new_leaf->path, "",
                             Describe(*new_leaf)});
      ++new_leaf;
    } else {
      if (*old_leaf != *new_leaf) {
        differences.push_back({LeafDifference::Kind::kChanged, old_leaf->path,
                               Describe(*old_leaf), Describe(*new_leaf)});
      }
      ++old_leaf;
      ++new_leaf;
    }
  }
  return differences;
}

}  // namespace vmattest::evidence
