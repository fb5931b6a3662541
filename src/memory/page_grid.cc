#include "memory/page_grid.h"

#include <algorithm>

namespace vmattest::memory {

PageGrid::PageGrid(std::vector<AddressRange> ranges, uint32_t page_bytes)
    : ranges_(std::move(ranges)), page_bytes_(page_bytes) {
  first_.reserve(ranges_.size());
  for (const AddressRange& range : ranges_) {
    first_.push_back(size_);
    size_ +=
        (range.end + page_bytes_ - 1) / page_bytes_ - range.begin / page_bytes_;
  }
}

size_t PageGrid::RangeOf(uint64_t index) const {
  const auto next = std::upper_bound(first_.begin(), first_.end(), index);
  return static_cast<size_t>(next - first_.begin()) - 1;
}

AddressRange PageGrid::At(uint64_t index) const {
  const size_t which = RangeOf(index);
  const AddressRange& range = ranges_[which];
  const uint64_t number = range.begin / page_bytes_ + index - first_[which];
  return {std::max(range.begin, number * page_bytes_),
          std::min(range.end, (number + 1) * page_bytes_)};
}

uint64_t PageGrid::WholeFrom(uint64_t index) const {
  const AddressRange& range = ranges_[RangeOf(index)];
  const AddressRange page = At(index);
  return page.end - page.begin == page_bytes_
             ? (range.end - page.begin) / page_bytes_
             : 0;
}

}  // namespace vmattest::memory
