#ifndef VMATTEST_DISK_GUEST_DIGEST_H_
#define VMATTEST_DISK_GUEST_DIGEST_H_

#include <functional>
#include <optional>
#include <vector>

#include "disk/block_source.h"
#include "vmattest/types/digest.h"

// The digest of what a guest sees, the same for every layout that shows it the
// same bytes (docs/formats/disk-inventory.md, "Guest-visible digest").

namespace vmattest::disk {

inline constexpr size_t kGuestBlockSize = size_t{1} << 20;

// The root of the RFC 6962 tree whose leaves are blocks of 1 MiB, the last one
// shorter. Runs of zero blocks cost one look-up for each bit of their length.
// Memory: 64 digests, whatever the size. One thread.
class BlockTree {
 public:
  explicit BlockTree(HashAlgorithm algorithm) : algorithm_(algorithm) {}

  // The next block's leaf hash: H(0x00 || block).
  void Add(DigestBytes leaf_hash);
  // The next `blocks` blocks, each of 1 MiB of zeros.
  void AddZeros(uint64_t blocks);
  [[nodiscard]] DigestBytes Root() const;

 private:
  struct Subtree {
    unsigned level = 0;  // 2^level blocks
    DigestBytes hash;
  };
  void Push(Subtree subtree);
  const DigestBytes& ZeroSubtree(unsigned level);

  HashAlgorithm algorithm_;
  uint64_t blocks_ = 0;
  std::vector<Subtree> open_;       // complete subtrees, largest first
  std::vector<DigestBytes> zeros_;  // by level
};

// Reads on the calling thread and hashes on `threads` others, named
// "guest-hash" and gone at the end; 0 or none to be had: on this one too.
// `progress` as in inspect.h.
absl::StatusOr<DigestBytes> GuestDigest(
    BlockSource& disk, HashAlgorithm algorithm, size_t threads,
    const std::function<void(uint64_t bytes)>& progress);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_GUEST_DIGEST_H_
