#include "baseline/digest_tree.h"

#include <algorithm>
#include <utility>

#include "merkle/tree.h"
#include "snapshot/page_tree.h"

namespace vmattest::baseline {

uint64_t DigestTree::Fan(uint32_t level) {
  return level == 1 ? snapshot::kPagesPerLeaf : 2;
}

DigestTree::DigestTree(HashAlgorithm algorithm, Bytes digests)
    : algorithm_(algorithm), size_(DigestSize(algorithm)) {
  levels_.push_back(std::move(digests));
  Bytes leaves;
  for (const DigestBytes& leaf :
       snapshot::PageTreeLeaves(algorithm_, levels_[0])) {
    leaves.insert(leaves.end(), leaf.begin(), leaf.end());
  }
  levels_.push_back(std::move(leaves));
  while (nodes(top()) > 1) {
    const uint32_t below = top();
    const uint64_t count = nodes(below);
    Bytes level;
    for (uint64_t i = 0; i < count; i += 2) {
      const DigestBytes node =
          i + 1 < count
              ? merkle::NodeHash(algorithm_, Node(below, i), Node(below, i + 1))
              : ToBytes(Node(below, i));
      level.insert(level.end(), node.begin(), node.end());
    }
    levels_.push_back(std::move(level));
  }
}

DigestBytes DigestTree::Root() const {
  return pages() == 0 ? snapshot::PageTreeRoot(algorithm_, {})
                      : ToBytes(Node(top(), 0));
}

DigestTree::Touched DigestTree::TouchedLeaves(const Changes& changes) const {
  Touched leaves;
  for (auto change = changes.begin(); change != changes.end();) {
    const uint64_t leaf = change->first / snapshot::kPagesPerLeaf;
    const uint64_t first = leaf * snapshot::kPagesPerLeaf;
    const uint64_t end = std::min(first + snapshot::kPagesPerLeaf, pages());
    Bytes digests = ToBytes(
        ByteView(levels_[0]).subspan(first * size_, (end - first) * size_));
    for (; change != changes.end() && change->first < end; ++change) {
      std::copy_n(change->second.begin(), size_,
                  digests.begin() +
                      static_cast<ptrdiff_t>((change->first - first) * size_));
    }
    leaves.emplace(leaf, merkle::LeafHash(algorithm_, digests));
  }
  return leaves;
}

DigestBytes DigestTree::RootWith(const Changes& changes) const {
  if (changes.empty()) {
    return Root();
  }
  Touched touched = TouchedLeaves(changes);
  for (uint32_t level = 1; level < top(); ++level) {
    Touched above;
    const auto node = [&](uint64_t index) {
      const auto found = touched.find(index);
      return found == touched.end() ? Node(level, index)
                                    : ByteView(found->second);
    };
    for (const auto& [index, digest] : touched) {
      const uint64_t left = index & ~uint64_t{1};
      if (!above.contains(index / 2)) {
        above.emplace(index / 2, left + 1 < nodes(level)
                                     ? merkle::NodeHash(algorithm_, node(left),
                                                        node(left + 1))
                                     : digest);
      }
    }
    touched = std::move(above);
  }
  return touched.begin()->second;
}

}  // namespace vmattest::baseline
