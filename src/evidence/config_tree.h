#ifndef VMATTEST_EVIDENCE_CONFIG_TREE_H_
#define VMATTEST_EVIDENCE_CONFIG_TREE_H_

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "vmattest/types/config_leaf.h"

// The canonical bytes of a configuration leaf and the tree over them
// (docs/formats/config-measurement.md). Pure; callable from any thread.

namespace vmattest::evidence {

// Sized(salt) || Sized(path) || Sized(type) || Sized(value), each preceded by
// its length as a big-endian uint32.
Bytes EncodeLeaf(const ConfigLeaf& leaf, ByteView salt);

// Sorts, prepends the header leaf, hashes. An empty `vm_salt` makes public
// leaves (empty salt); else a leaf's salt is HMAC-SHA-256(vm_salt, path).
// INVALID_ARGUMENT: two leaves share a path, or one has an empty or reserved
// path.
absl::StatusOr<ConfigTree> BuildConfigTree(HashAlgorithm algorithm,
                                           std::vector<ConfigLeaf> leaves,
                                           const SecretBytes& vm_salt);

// What a statement calls a salt: hex of SHA-256("vmattest/salt/v1" || 0x00 ||
// vm_salt), which gives nothing of it away. Empty for the empty salt.
std::string SaltId(const SecretBytes& vm_salt);

// A tree of its own below one leaf: that leaf, of type "tree", and what is
// below it. Salts are over "PATH/LEAF", the leaf's path in Flatten().
struct BuiltSubtree {
  ConfigLeaf leaf;
  ConfigSubtree subtree;
};
absl::StatusOr<BuiltSubtree> BuildSubtree(HashAlgorithm algorithm,
                                          std::string path,
                                          std::vector<ConfigLeaf> leaves,
                                          const SecretBytes& vm_salt);

// Rebuilds the tree over leaves that came from outside, header leaf included,
// and checks order, uniqueness and that the header says what the tree is.
// INVALID_ARGUMENT names the first leaf that is wrong.
absl::StatusOr<ConfigTree> RebuildConfigTree(HashAlgorithm algorithm,
                                             std::vector<ConfigLeaf> leaves,
                                             const SecretBytes& vm_salt = {});

// One subtree with its digests; errors as RebuildConfigTree's.
absl::StatusOr<ConfigTree> RebuildSubtree(HashAlgorithm algorithm,
                                          const ConfigSubtree& subtree,
                                          const SecretBytes& vm_salt);

// The salt of one leaf: HMAC-SHA-256(vm_salt, full path); empty for the empty
// one. `place` is the path of the leaf's subtree, or "".
Bytes SaltOf(const SecretBytes& vm_salt, std::string_view place,
             std::string_view path);

// Whether `subtrees` are those of the tree leaves among `leaves`, each once,
// in their order, with the root and the number of leaves that they say.
// INVALID_ARGUMENT names the subtree, and the leaf where it can.
absl::Status CheckSubtrees(HashAlgorithm algorithm,
                           const std::vector<ConfigLeaf>& leaves,
                           const std::vector<ConfigSubtree>& subtrees,
                           const SecretBytes& vm_salt);

// All leaves in one list: in place of a tree leaf those below it, as
// "PATH/LEAF". A tree leaf without its subtree stays. No headers of subtrees.
std::vector<ConfigLeaf> Flatten(std::vector<ConfigLeaf> leaves,
                                const std::vector<ConfigSubtree>& subtrees);

// How two sets of leaves differ, by path, sorted; header leaves are left out.
struct LeafDifference {
  enum class Kind : uint8_t { kAdded, kRemoved, kChanged };
  Kind kind = Kind::kChanged;
  std::string path;
  std::string expected;  // "type value", empty if added
  std::string found;     // "type value", empty if removed
};
std::vector<LeafDifference> CompareLeaves(
    const std::vector<ConfigLeaf>& expected,
    const std::vector<ConfigLeaf>& found);

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_CONFIG_TREE_H_
