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

AddressRange PageGrid::At(uint64_t index) const {
  const auto next = std::upper_bound(first_.begin(), first_.end(), index);
  const auto which = static_cast<size_t>(next - first_.begin()) - 1;
  const AddressRange& range = ranges_[which];
  const uint64_t number = range.begin / page_bytes_ + index - first_[which];
  return {std::max(range.begin, number * page_bytes_),
          std::min(range.end, (number + 1) * page_bytes_)};
}

}  // namespace vmattest::memory
