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

// Rebuilds the tree over leaves that came from outside, header leaf included,
// and checks order, uniqueness and that the header says what the tree is.
// INVALID_ARGUMENT names the first leaf that is wrong. Public leaves only.
absl::StatusOr<ConfigTree> RebuildConfigTree(HashAlgorithm algorithm,
                                             std::vector<ConfigLeaf> leaves);

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
