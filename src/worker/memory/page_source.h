#ifndef VMATTEST_WORKER_MEMORY_PAGE_SOURCE_H_
#define VMATTEST_WORKER_MEMORY_PAGE_SOURCE_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "memory/linux/ram_block.h"
#include "memory/ram_layout.h"

namespace vmattest::worker {

using RamBlocks = std::vector<std::unique_ptr<memory::RamBlock>>;

// A guest's RAM by guest-physical address, out of its blocks. Threads may read
// at the same time.
class GuestView {
 public:
  // INVALID_ARGUMENT: a section that is not in its block.
  static absl::StatusOr<GuestView> Make(
      RamBlocks& blocks, std::vector<memory::RamSection> sections);

  // Which parts of `range` exist; the rest reads as zero. UNAVAILABLE: gone.
  absl::StatusOr<std::vector<memory::AddressRange>> Extents(
      const memory::AddressRange& range) const;
  // Into `buffer`, which has the range's size. A part that is no RAM is
  // OUT_OF_RANGE.
  absl::Status Read(const memory::AddressRange& range,
                    std::span<uint8_t> buffer) const;
  // The same, of what may never have existed: that reads as zero, and is not
  // touched.
  absl::Status ReadUsed(const memory::AddressRange& range,
                        std::span<uint8_t> buffer) const;
  // Where `range` is mapped, to be touched with GuardedRead(); nullptr: it is
  // not, or not in one piece.
  const uint8_t* Direct(const memory::AddressRange& range) const;

 private:
  GuestView(RamBlocks& blocks, std::vector<memory::RamSection> sections)
      : blocks_(&blocks), sections_(std::move(sections)) {}

  RamBlocks* blocks_;
  std::vector<memory::RamSection> sections_;
};

// Runs `work(task)` for every task, on that many threads, this one included.
void RunOnThreads(size_t threads, size_t tasks,
                  const std::function<void(size_t task)>& work);

// What was copied out of a guest while it stood still.
class GuestCopy {
 public:
  // Makes room for those ranges, and touches it, so that copying costs no page
  // faults. RESOURCE_EXHAUSTED: there is not so much.
  static absl::StatusOr<std::unique_ptr<GuestCopy>> Prepare(
      std::vector<memory::AddressRange> ranges);
  GuestCopy(const GuestCopy&) = delete;
  GuestCopy& operator=(const GuestCopy&) = delete;
  ~GuestCopy();

  // Copies what exists, until all is or the budget is used up: how many bytes
  // lie in pieces that were dealt with. UNAVAILABLE: the guest is gone.
  absl::StatusOr<uint64_t> Fill(const GuestView& view,
                                std::chrono::microseconds budget,
                                size_t threads);
  [[nodiscard]] bool complete() const { return complete_; }
  // What existed when it was copied; of what was not copied, what exists now.
  absl::StatusOr<std::vector<memory::AddressRange>> Extents(
      const GuestView& view, const memory::AddressRange& range) const;
  // Of a range that was copied whole; nullptr if it was not.
  const uint8_t* Direct(const memory::AddressRange& range) const;

 private:
  struct Piece {
    memory::AddressRange range;
    uint64_t offset = 0;
    bool copied = false;
    std::vector<memory::AddressRange> extents;
  };
  GuestCopy(std::vector<Piece> pieces, uint8_t* data, uint64_t size)
      : pieces_(std::move(pieces)), data_(data), size_(size) {}
  absl::Status CopyPiece(const GuestView& view, Piece& piece);

  std::vector<Piece> pieces_;  // sorted
  uint8_t* data_;
  uint64_t size_;
  bool complete_ = false;
};

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_MEMORY_PAGE_SOURCE_H_
