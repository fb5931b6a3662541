#ifndef VMATTEST_MERKLE_TREE_H_
#define VMATTEST_MERKLE_TREE_H_

#include <vector>

#include "base/bytes.h"
#include "vmattest/types/digest.h"

// The Merkle tree of RFC 6962 section 2.1 (= RFC 9162 section 2.1), over any
// of our digests. Pure; callable from any thread.
//
//   size 5:          root            n = H(0x01 || left || right)
//                 .-'    '-.          l = H(0x00 || leaf)
//               n03       l4
//             .-' '-.                 left subtree: the largest power of two
//           n01     n23               below the size
//          .' '.   .' '.
//         l0  l1  l2  l3

namespace vmattest::merkle {

DigestBytes LeafHash(HashAlgorithm algorithm, ByteView leaf);
DigestBytes NodeHash(HashAlgorithm algorithm, ByteView left, ByteView right);

// Holds every node: proofs are look-ups. 2n digests of memory.
class Tree {
 public:
  // `leaf_hashes` as made by LeafHash. An empty tree's root is H("").
  Tree(HashAlgorithm algorithm, std::vector<DigestBytes> leaf_hashes);

  [[nodiscard]] size_t size() const { return levels_.front().size(); }
  [[nodiscard]] DigestBytes Root() const;
  // Audit path, lowest sibling first. `index` < size().
  [[nodiscard]] std::vector<DigestBytes> InclusionProof(size_t index) const;
  // That the tree of the first `old_size` leaves is a prefix of this one.
  // 0 < `old_size` <= size().
  [[nodiscard]] std::vector<DigestBytes> ConsistencyProof(
      size_t old_size) const;

 private:
  [[nodiscard]] DigestBytes RangeHash(size_t begin, size_t end) const;

  HashAlgorithm algorithm_;
  // levels_[0] the leaf hashes; levels_[k][i] the hash of the complete subtree
  // of 2^k leaves starting at i * 2^k.
  std::vector<std::vector<DigestBytes>> levels_;
};

// Hostile input allowed; false for anything that does not prove it.
[[nodiscard]] bool VerifyInclusion(HashAlgorithm algorithm, uint64_t index,
                                   uint64_t size, ByteView leaf_hash,
                                   const std::vector<DigestBytes>& path,
                                   ByteView root);
[[nodiscard]] bool VerifyConsistency(HashAlgorithm algorithm, uint64_t old_size,
                                     uint64_t new_size, ByteView old_root,
                                     ByteView new_root,
                                     const std::vector<DigestBytes>& path);

// The root that `path` leads to from `leaf_hash`; INVALID_ARGUMENT if the
// path's length does not fit `index` and `size`.
absl::StatusOr<DigestBytes> RootFromInclusion(
    HashAlgorithm algorithm, uint64_t index, uint64_t size, ByteView leaf_hash,
    const std::vector<DigestBytes>& path);

}  // namespace vmattest::merkle

#endif  // VMATTEST_MERKLE_TREE_H_
