#ifndef VMATTEST_DISK_BLOCK_SOURCE_H_
#define VMATTEST_DISK_BLOCK_SOURCE_H_

#include <cstdint>
#include <functional>
#include <span>

#include "base/bytes.h"
#include "base/status.h"

namespace vmattest::disk {

// Bytes that are read at any place: a disk, a partition, a file inside a file
// system. What they hold is hostile; how they are reached is not. One thread.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  [[nodiscard]] virtual uint64_t size() const = 0;

  // Fills `buffer`. OUT_OF_RANGE: it would reach past the end.
  //   ABORTED: the image is shorter than it was. UNAVAILABLE: its server is
  //   gone. DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED: a limit (budget.h).
  //   DATA_LOSS: a file whose file system is damaged there.
  [[nodiscard]] virtual absl::Status ReadAt(uint64_t offset,
                                            std::span<uint8_t> buffer) = 0;

  // What is known without reading: the next `size` bytes, at least one and none
  // past the end, all read as zero, or may hold anything.
  struct Extent {
    uint64_t size = 0;
    bool zero = false;
  };
  // `offset` < size().
  [[nodiscard]] virtual absl::StatusOr<Extent> ExtentAt(uint64_t offset) {
    return Extent{.size = size() - offset, .zero = false};
  }

  // Hands over the bytes from `begin` to `end` in order, in pieces of at most
  // 256 KiB, reading ahead where that gains time. Stops at the first error,
  // also of `consume`. The piece is only valid during the call.
  using Consume = std::function<absl::Status(ByteView piece)>;
  [[nodiscard]] virtual absl::Status ReadInOrder(uint64_t begin, uint64_t end,
                                                 const Consume& consume);

  // Memory that whoever wants a range lends for it, all blocks of one size.
  class Blocks {
   public:
    virtual ~Blocks() = default;
    // Room for the next block; the caller's to write until it is filled. May
    // wait for older blocks that are filled, not for others.
    virtual std::span<uint8_t> Next() = 0;
    // The oldest block that is out has its first `size` bytes.
    virtual void Filled(size_t size) = 0;
  };
  static constexpr size_t kMaxBlocksOut = 8;  // at one time
  // Reads from `begin` to `end` straight into blocks, in order; only the last
  // may be filled in part. After an error blocks that are out stay unfilled,
  // and nothing writes to them any more.
  [[nodiscard]] virtual absl::Status ReadBlocks(uint64_t begin, uint64_t end,
                                                Blocks& blocks);
};

inline constexpr size_t kPieceSize = size_t{1} << 18;

// OUT_OF_RANGE unless `length` bytes from `offset` are there.
absl::Status CheckRange(const BlockSource& source, uint64_t offset,
                        uint64_t length);

// All of it. RESOURCE_EXHAUSTED: more than `max_size` bytes.
absl::StatusOr<Bytes> ReadAll(BlockSource& source, uint64_t max_size);

// A part of another source, which must outlive it.
class SliceSource final : public BlockSource {
 public:
  // The part must lie inside.
  SliceSource(BlockSource& whole, uint64_t begin, uint64_t size)
      : whole_(whole), begin_(begin), size_(size) {}

  [[nodiscard]] uint64_t size() const override { return size_; }
  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override;
  [[nodiscard]] absl::StatusOr<Extent> ExtentAt(uint64_t offset) override;
  [[nodiscard]] absl::Status ReadInOrder(uint64_t begin, uint64_t end,
                                         const Consume& consume) override;

 private:
  BlockSource& whole_;
  const uint64_t begin_;
  const uint64_t size_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_BLOCK_SOURCE_H_
