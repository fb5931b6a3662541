#include "snapshot/page_tree.h"

#include <algorithm>

#include "crypto/digest.h"
#include "merkle/tree.h"

namespace vmattest::snapshot {
namespace {

using memory::AddressRange;

constexpr std::string_view kSelectionTag = "vmattest/selection/v1";

}  // namespace

DigestBytes UnreadableDigest(HashAlgorithm algorithm) {
  return DigestBytes(DigestSize(algorithm));
}

std::vector<DigestBytes> PageTreeLeaves(HashAlgorithm algorithm,
                                        ByteView digests) {
  const size_t size = kPagesPerLeaf * DigestSize(algorithm);
  std::vector<DigestBytes> leaves;
  leaves.reserve(digests.size() / size + 1);
  for (size_t at = 0; at < digests.size(); at += size) {
    const ByteView leaf =
        digests.subspan(at, std::min(size, digests.size() - at));
    // Memory that nobody used: the same leaf over and over.
    if (at >= size && leaf.size() == size &&
        std::equal(leaf.begin(), leaf.end(),
                   digests.begin() + static_cast<ptrdiff_t>(at - size))) {
      leaves.push_back(leaves.back());
    } else {
      leaves.push_back(merkle::LeafHash(algorithm, leaf));
    }
  }
  return leaves;
}

DigestBytes PageTreeRoot(HashAlgorithm algorithm, ByteView digests) {
  return merkle::Tree(algorithm, PageTreeLeaves(algorithm, digests)).Root();
}

DigestBytes SelectionDigest(HashAlgorithm algorithm,
                            const std::vector<AddressRange>& ranges) {
  ByteWriter writer;
  writer.Raw(kSelectionTag).U8(0);
  for (const AddressRange& range : ranges) {
    writer.U64(range.begin).U64(range.end);
  }
  return Hash(algorithm, writer.bytes());
}

}  // namespace vmattest::snapshot
