#ifndef VMATTEST_BASELINE_DIGEST_TREE_H_
#define VMATTEST_BASELINE_DIGEST_TREE_H_

#include <cstdint>
#include <map>
#include <vector>

#include "base/bytes.h"
#include "vmattest/types/digest.h"

namespace vmattest::baseline {

// A region's page digests and every node above them (docs/formats/snapshot.md),
// by levels: 0 are the pages, 1 the leaves of 256 pages each, the last one the
// root. Node i of a level above 1 has the nodes 2i and 2i+1 of the level below;
// where there is no 2i+1 it is node 2i itself, which is RFC 6962's tree.
// Immutable; any thread.
class DigestTree {
 public:
  // `digests`: a multiple of the algorithm's size.
  DigestTree(HashAlgorithm algorithm, Bytes digests);

  [[nodiscard]] uint32_t top() const {
    return static_cast<uint32_t>(levels_.size() - 1);
  }
  [[nodiscard]] uint64_t nodes(uint32_t level) const {
    return levels_[level].size() / size_;
  }
  [[nodiscard]] uint64_t pages() const { return nodes(0); }
  [[nodiscard]] ByteView Node(uint32_t level, uint64_t index) const {
    return ByteView(levels_[level]).subspan(index * size_, size_);
  }
  // How many nodes of the level below a node of `level` stands for.
  static uint64_t Fan(uint32_t level);
  [[nodiscard]] DigestBytes Root() const;
  // The root that other digests of some pages, which exist, would make. Hashes
  // no more than these pages' leaves and what is above them.
  using Changes = std::map<uint64_t, ByteView>;
  [[nodiscard]] DigestBytes RootWith(const Changes& changes) const;

 private:
  using Touched = std::map<uint64_t, DigestBytes>;
  [[nodiscard]] Touched TouchedLeaves(const Changes& changes) const;

  const HashAlgorithm algorithm_;
  const size_t size_;
  std::vector<Bytes> levels_;
};

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_DIGEST_TREE_H_
