#ifndef VMATTEST_DISK_BLOCK_HASHERS_H_
#define VMATTEST_DISK_BLOCK_HASHERS_H_

#include <array>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "disk/guest_digest.h"

namespace vmattest::disk {

// Lends memory for blocks, hashes those that are filled on threads of its own
// while the caller reads the next ones, and puts the results into a BlockTree
// in order. A caller who would have to wait hashes too. One caller; 16 MiB.
class BlockHashers final : public BlockSource::Blocks {
 public:
  // `tree` must outlive it. With no thread the caller hashes. `filled` is told
  // the size of each block, on the caller's thread.
  BlockHashers(HashAlgorithm algorithm, size_t threads, BlockTree& tree,
               std::function<void(size_t size)> filled);
  BlockHashers(const BlockHashers&) = delete;
  BlockHashers& operator=(const BlockHashers&) = delete;
  // What was not finished is dropped.
  ~BlockHashers() override;

  std::span<uint8_t> Next() override EXCLUDES_LOCK(mutex_);
  void Filled(size_t size) override EXCLUDES_LOCK(mutex_);
  // Whole blocks of zeros. No block is out, nor was one filled in part.
  void AddZeros(uint64_t blocks) { zeros_ += blocks; }
  // The end: no block is out. Everything is in the tree then.
  void Finish() EXCLUDES_LOCK(mutex_);

 private:
  static constexpr uint64_t kSlots = 16;
  static_assert(kSlots > BlockSource::kMaxBlocksOut);
  // What is hashed lies together: the leaf's prefix, then the block.
  struct alignas(64) Leaf {
    uint8_t prefix;
    uint8_t block[kGuestBlockSize];
  };
  struct Slot {
    std::unique_ptr<Leaf> leaf;
    size_t size = 0;
    uint64_t zeros_before = 0;  // blocks
    DigestBytes digest;
    bool hashed = false;
  };

  void Run() EXCLUDES_LOCK(mutex_);
  void HashSlot(Slot& slot) const;
  // Hashes a block that nobody began, or waits. True once `wanted` is hashed.
  bool HashOrWait(const Slot& wanted) EXCLUDES_LOCK(mutex_);
  [[nodiscard]] bool OldestIsHashed() EXCLUDES_LOCK(mutex_);
  // Puts the oldest block into the tree once it is hashed.
  void TakeOldest() EXCLUDES_LOCK(mutex_);

  const HashAlgorithm algorithm_;
  BlockTree& tree_;
  const std::function<void(size_t size)> told_;
  // A slot belongs to the caller until it is counted in filled_, then to the
  // thread that counted it in started_, and to the caller again once hashed.
  std::array<Slot, kSlots> slots_;
  // Of blocks that are in the tree; the last was used last and is lent first,
  // as it may still be in the CPU's cache.
  std::vector<std::unique_ptr<Leaf>> spare_;
  uint64_t lent_ = 0;   // blocks that Next() gave out
  uint64_t taken_ = 0;  // blocks that are in the tree
  uint64_t zeros_ = 0;  // before the block that comes next
  uint64_t next_ = 0;   // the caller's own copy of filled_
  Mutex mutex_;
  CondVar work_;  // for hashing threads
  CondVar done_;  // for the caller
  uint64_t filled_ GUARDED_BY(mutex_) = 0;
  uint64_t started_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_BLOCK_HASHERS_H_
