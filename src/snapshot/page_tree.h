#ifndef VMATTEST_SNAPSHOT_PAGE_TREE_H_
#define VMATTEST_SNAPSHOT_PAGE_TREE_H_

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "memory/guest_memory.h"
#include "vmattest/types/digest.h"

// How a region's pages become one root (docs/formats/snapshot.md). Pure; any
// thread.
//
//   root                           RFC 6962, over leaves
//    `- leaf = d0 || d1 || ... d255    256 page digests, the last fewer
//
// A leaf of many digests keeps the tree's own hashing below 2 % of the pages',
// and still a walk finds what changed to 1 MiB, then to the page.

namespace vmattest::snapshot {

inline constexpr size_t kPagesPerLeaf = 256;

// The digest of a page that could not be read: all zeros, which no page has.
DigestBytes UnreadableDigest(HashAlgorithm algorithm);

// `digests`: of every page, one after the other.
std::vector<DigestBytes> PageTreeLeaves(HashAlgorithm algorithm,
                                        ByteView digests);
DigestBytes PageTreeRoot(HashAlgorithm algorithm, ByteView digests);

// Commits to a region's addresses: over "vmattest/selection/v1", zero, and each
// range as two uint64, big-endian.
DigestBytes SelectionDigest(HashAlgorithm algorithm,
                            const std::vector<memory::AddressRange>& ranges);

}  // namespace vmattest::snapshot

#endif  // VMATTEST_SNAPSHOT_PAGE_TREE_H_
