#ifndef VMATTEST_MEMORY_PAGE_GRID_H_
#define VMATTEST_MEMORY_PAGE_GRID_H_

#include <cstdint>
#include <vector>

#include "memory/guest_memory.h"

namespace vmattest::memory {

// The pieces of some ranges that have one digest each: every range cut at
// multiples of `page_bytes`, so that the first and the last piece of a range
// may be shorter. Immutable; any thread.
class PageGrid {
 public:
  PageGrid(std::vector<AddressRange> ranges, uint32_t page_bytes);

  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] uint32_t page_bytes() const { return page_bytes_; }
  [[nodiscard]] const std::vector<AddressRange>& ranges() const {
    return ranges_;
  }
  // `index` < size().
  [[nodiscard]] AddressRange At(uint64_t index) const;
  // How many whole pages there are from `index` on, side by side in one range;
  // 0: that page is cut.
  [[nodiscard]] uint64_t WholeFrom(uint64_t index) const;

 private:
  [[nodiscard]] size_t RangeOf(uint64_t index) const;

  std::vector<AddressRange> ranges_;
  std::vector<uint64_t> first_;  // number of each range's first page
  uint32_t page_bytes_;
  uint64_t size_ = 0;
};

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_PAGE_GRID_H_
