#ifndef VMATTEST_CRYPTO_BLAKE3_TREE_H_
#define VMATTEST_CRYPTO_BLAKE3_TREE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/executor.h"
#include "vmattest/types/digest.h"

// BLAKE3 (github.com/BLAKE3-team/BLAKE3-specs, section 2) computed block by
// block, so that threads share the work and a later measurement hashes only
// the blocks that changed. The digest is the official one, whatever the split.
//
//                root           left subtree: largest power of two of chunks
//              .-'  '-.         below the size
//          (b0,b1)    b2
//          .-' '-.              b: one block of 1 MiB = 1,024 chunks, the last
//         b0     b1             one may be shorter
//
// All functions are callable from any thread.

namespace vmattest {

inline constexpr size_t kBlake3BlockSize = size_t{1} << 20;

// The chaining value of a block or of a larger subtree: a node of the tree, not
// a digest.
using Blake3Value = std::array<uint8_t, 32>;

// Computes one block's value piece by piece, so that a reader's buffer can stay
// in the CPU's cache. 32 KiB large. One thread at a time.
class Blake3BlockHasher {
 public:
  // `index`: the block's number, counted from the start of the input.
  explicit Blake3BlockHasher(uint64_t index);

  // Pieces add up to at most a block; only the last piece of an input may have
  // a size that is no multiple of 1,024.
  Blake3BlockHasher& Update(ByteView piece);
  // The same as Update with `size` zeros: as a hole reads. Faster.
  Blake3BlockHasher& UpdateZeros(size_t size);
  // After at least one byte. Not for an input of a single block: that one has
  // no value, only a root.
  [[nodiscard]] Blake3Value Finish();

 private:
  static constexpr size_t kChunks = kBlake3BlockSize / 1024;
  uint64_t first_chunk_;
  size_t chunks_ = 0;
  alignas(64) std::array<uint8_t, kChunks * 32> values_;
};

// The value of the subtree over neighbouring `values` of equal height, but the
// last, which may be lower. At least one; all but an input's last subtree have
// a power of two of them.
Blake3Value FoldBlake3Values(std::vector<Blake3Value> values);

// The digest of an input from all its blocks' values (or all its subtrees'), in
// order; at least two.
DigestBytes FoldBlake3Root(std::vector<Blake3Value> values);

// The digest of an input that is held in memory.
DigestBytes Blake3(ByteView data);

// The same with blocks handed to `executor`, `tasks` of them at once. The
// calling thread works too, so a full or stopped executor costs time, nothing
// else. `data` must outlive the call; nothing refers to it afterwards.
DigestBytes Blake3(ByteView data, Executor& executor, size_t tasks);

// libblake3 looks at the CPU on first use without a lock; this makes that
// first use happen once. Called by everything in crypto/ that hashes.
void DetectBlake3Cpu();

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_BLAKE3_TREE_H_
