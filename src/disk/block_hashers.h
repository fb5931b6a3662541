#ifndef VMATTEST_DISK_BLOCK_HASHERS_H_
#define VMATTEST_DISK_BLOCK_HASHERS_H_

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "disk/guest_digest.h"

namespace vmattest::disk {

// Hashes blocks on threads of its own while the caller reads the next ones, and
// puts the results into a BlockTree in order. One caller; at most 16 MiB wait.
class BlockHashers {
 public:
  // `tree` must outlive it. With no thread the caller hashes.
  BlockHashers(HashAlgorithm algorithm, size_t threads, BlockTree& tree);
  BlockHashers(const BlockHashers&) = delete;
  BlockHashers& operator=(const BlockHashers&) = delete;
  // What was not finished is dropped.
  ~BlockHashers();

  // The next bytes; cut into blocks here.
  void Update(ByteView piece);
  // Whole blocks of zeros, where a block begins.
  void AddZeros(uint64_t blocks) { zeros_ += blocks; }
  // The end: also a block that is not full. Everything is in the tree then.
  void Finish() EXCLUDES_LOCK(mutex_);

 private:
  static constexpr uint64_t kSlots = 16;
  struct Slot {
    std::unique_ptr<uint8_t[]> block;
    size_t size = 0;
    uint64_t zeros_before = 0;  // blocks
    DigestBytes digest;
    bool hashed = false;
  };

  void Run() EXCLUDES_LOCK(mutex_);
  void HashSlot(Slot& slot) const;
  // Hands over the slot that is being filled.
  void EndBlock() EXCLUDES_LOCK(mutex_);
  // Puts the oldest block into the tree once it is hashed.
  void TakeOldest() EXCLUDES_LOCK(mutex_);

  const HashAlgorithm algorithm_;
  BlockTree& tree_;
  // A slot belongs to the caller until it is counted in filled_, then to the
  // thread that counted it in started_, and to the caller again once hashed.
  std::array<Slot, kSlots> slots_;
  uint64_t taken_ = 0;  // blocks that are in the tree
  uint64_t zeros_ = 0;  // before the block that comes next
  Mutex mutex_;
  CondVar changed_;
  uint64_t filled_ GUARDED_BY(mutex_) = 0;
  uint64_t started_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  uint64_t next_ = 0;  // the caller's own copy of filled_
  std::vector<std::thread> threads_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_BLOCK_HASHERS_H_
