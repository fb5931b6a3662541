#ifndef VMATTEST_DISK_CACHED_SOURCE_H_
#define VMATTEST_DISK_CACHED_SOURCE_H_

#include <list>
#include <unordered_map>

#include "disk/block_source.h"
#include "disk/budget.h"

namespace vmattest::disk {

// A disk with the last 16 MiB of small reads kept, every read paid for, and
// every failure remembered in the budget. Both must outlive it. One thread.
class CachedSource final : public BlockSource {
 public:
  CachedSource(BlockSource& disk, Budget& budget)
      : disk_(disk), budget_(budget) {}

  [[nodiscard]] uint64_t size() const override { return disk_.size(); }
  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override;
  [[nodiscard]] absl::StatusOr<Extent> ExtentAt(uint64_t offset) override;
  [[nodiscard]] absl::Status ReadInOrder(uint64_t begin, uint64_t end,
                                         const Consume& consume) override;

 private:
  static constexpr size_t kLineSize = size_t{1} << 16;
  static constexpr size_t kMaxLines = 256;
  struct Line {
    uint64_t number = 0;
    Bytes content;
  };
  absl::StatusOr<ByteView> LineAt(uint64_t number);
  absl::Status Remember(absl::Status status);

  BlockSource& disk_;
  Budget& budget_;
  std::list<Line> lines_;  // the last used first
  std::unordered_map<uint64_t, std::list<Line>::iterator> by_number_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_CACHED_SOURCE_H_
