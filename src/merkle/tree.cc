#include "merkle/tree.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "crypto/digest.h"
#include "fmt/format.h"

namespace vmattest::merkle {
namespace {

constexpr uint8_t kLeafPrefix[] = {0x00};
constexpr uint8_t kNodePrefix[] = {0x01};

// The largest power of two below `size`, which is at least 2.
template <class Size>
Size SplitPoint(Size size) {
  return std::bit_floor(static_cast<Size>(size - 1));
}

bool AllHaveSize(const std::vector<DigestBytes>& digests, size_t size) {
  return std::all_of(digests.begin(), digests.end(),
                     [size](const DigestBytes& d) { return d.size() == size; });
}

bool Equal(ByteView a, ByteView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// RFC 9162 section 2.1.4.2, steps 5 to 7: walks `path` from its first value
// and gives the old root, the new root and whether it ended at the top.
struct Walk {
  DigestBytes old_root;
  DigestBytes new_root;
  bool complete = false;
};

Walk WalkConsistency(HashAlgorithm algorithm, uint64_t fn, uint64_t sn,
                     const std::vector<DigestBytes>& path) {
  Walk walk{path.front(), path.front(), false};
  for (size_t i = 1; i < path.size(); ++i) {
    if (sn == 0) {
      return walk;
    }
    const DigestBytes& c = path[i];
    if ((fn & 1) != 0 || fn == sn) {
      walk.old_root = NodeHash(algorithm, c, walk.old_root);
      walk.new_root = NodeHash(algorithm, c, walk.new_root);
      while (fn != 0 && (fn & 1) == 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      walk.new_root = NodeHash(algorithm, walk.new_root, c);
    }
    fn >>= 1;
    sn >>= 1;
  }
  walk.complete = sn == 0;
  return walk;
}

}  // namespace

DigestBytes LeafHash(HashAlgorithm algorithm, ByteView leaf) {
  return HashParts(algorithm, {kLeafPrefix, leaf});
}

DigestBytes NodeHash(HashAlgorithm algorithm, ByteView left, ByteView right) {
  return HashParts(algorithm, {kNodePrefix, left, right});
}

Tree::Tree(HashAlgorithm algorithm, std::vector<DigestBytes> leaf_hashes)
    : algorithm_(algorithm) {
  levels_.push_back(std::move(leaf_hashes));
  while (levels_.back().size() > 1) {
    const std::vector<DigestBytes>& below = levels_.back();
    std::vector<DigestBytes> level(below.size() / 2);
    for (size_t i = 0; i < level.size(); ++i) {
      level[i] = NodeHash(algorithm_, below[2 * i], below[2 * i + 1]);
    }
    levels_.push_back(std::move(level));
  }
}

DigestBytes Tree::Root() const { return RangeHash(0, size()); }

// `begin` is a multiple of the power of two that covers the range.
DigestBytes Tree::RangeHash(size_t begin, size_t end) const {
  const size_t count = end - begin;
  if (count == 0) {
    return Hash(algorithm_, {});
  }
  if (std::has_single_bit(count)) {
    const auto level = static_cast<size_t>(std::countr_zero(count));
    return levels_[level][begin >> level];
  }
  const size_t split = begin + SplitPoint(count);
  return NodeHash(algorithm_, RangeHash(begin, split), RangeHash(split, end));
}

std::vector<DigestBytes> Tree::InclusionProof(size_t index) const {
  std::vector<DigestBytes> path;
  size_t begin = 0;
  size_t end = size();
  while (end - begin > 1) {
    const size_t split = begin + SplitPoint(end - begin);
    if (index < split) {
      path.push_back(RangeHash(split, end));
      end = split;
    } else {
      path.push_back(RangeHash(begin, split));
      begin = split;
    }
  }
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<DigestBytes> Tree::ConsistencyProof(size_t old_size) const {
  std::vector<DigestBytes> path;
  size_t begin = 0;
  size_t end = size();
  // Whether the old tree's part of the range is the whole old tree, whose root
  // the verifier already has: RFC 6962's b flag.
  bool whole = true;
  while (old_size != end) {
    const size_t split = begin + SplitPoint(end - begin);
    if (old_size <= split) {
      path.push_back(RangeHash(split, end));
      end = split;
    } else {
      path.push_back(RangeHash(begin, split));
      begin = split;
      whole = false;
    }
  }
  if (!whole) {
    path.push_back(RangeHash(begin, end));
  }
  std::reverse(path.begin(), path.end());
  return path;
}

// RFC 9162 section 2.1.3.2.
absl::StatusOr<DigestBytes> RootFromInclusion(
    HashAlgorithm algorithm, uint64_t index, uint64_t size, ByteView leaf_hash,
    const std::vector<DigestBytes>& path) {
  if (index >= size) {
    return absl::InvalidArgumentError(
        fmt::format("leaf {} of a tree of {}", index, size));
  }
  const size_t digest_size = DigestSize(algorithm);
  if (leaf_hash.size() != digest_size || !AllHaveSize(path, digest_size)) {
    return absl::InvalidArgumentError(fmt::format(
        "a hash of the inclusion path is not {} bytes", digest_size));
  }
  uint64_t fn = index;
  uint64_t sn = size - 1;
  DigestBytes root = ToBytes(leaf_hash);
  for (const DigestBytes& sibling : path) {
    if (sn == 0) {
      return absl::InvalidArgumentError("inclusion path is too long");
    }
    if ((fn & 1) != 0 || fn == sn) {
      root = NodeHash(algorithm, sibling, root);
      while (fn != 0 && (fn & 1) == 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      root = NodeHash(algorithm, root, sibling);
    }
    fn >>= 1;
    sn >>= 1;
  }
  if (sn != 0) {
    return absl::InvalidArgumentError("inclusion path is too short");
  }
  return root;
}

bool VerifyInclusion(HashAlgorithm algorithm, uint64_t index, uint64_t size,
                     ByteView leaf_hash, const std::vector<DigestBytes>& path,
                     ByteView root) {
  const absl::StatusOr<DigestBytes> computed =
      RootFromInclusion(algorithm, index, size, leaf_hash, path);
  return computed.ok() && Equal(*computed, root);
}

bool VerifyConsistency(HashAlgorithm algorithm, uint64_t old_size,
                       uint64_t new_size, ByteView old_root, ByteView new_root,
                       const std::vector<DigestBytes>& path) {
  if (old_size == 0 || old_size > new_size) {
    return false;
  }
  if (old_size == new_size) {
    return path.empty() && Equal(old_root, new_root);
  }
  const size_t digest_size = DigestSize(algorithm);
  if (path.empty() || old_root.size() != digest_size ||
      !AllHaveSize(path, digest_size)) {
    return false;
  }
  // At most one node a level, and one more where the old root is not sent.
  if (path.size() > 65) {
    return false;
  }
  std::vector<DigestBytes> nodes;
  if (std::has_single_bit(old_size)) {
    nodes.push_back(ToBytes(old_root));
  }
  nodes.insert(nodes.end(), path.begin(), path.end());
  uint64_t fn = old_size - 1;
  uint64_t sn = new_size - 1;
  while ((fn & 1) != 0) {
    fn >>= 1;
    sn >>= 1;
  }
  const Walk walk = WalkConsistency(algorithm, fn, sn, nodes);
  return walk.complete && Equal(walk.old_root, old_root) &&
         Equal(walk.new_root, new_root);
}

}  // namespace vmattest::merkle
