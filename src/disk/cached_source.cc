#include "disk/cached_source.h"

#include <algorithm>
#include <utility>

namespace vmattest::disk {

absl::Status CachedSource::ReadAt(uint64_t offset, std::span<uint8_t> buffer) {
  RETURN_IF_ERROR(CheckRange(*this, offset, buffer.size()));
  RETURN_IF_ERROR(budget_.Spend(buffer.size()));
  if (buffer.size() >= kLineSize) {
    return Remember(disk_.ReadAt(offset, buffer));
  }
  while (!buffer.empty()) {
    ASSIGN_OR_RETURN(const ByteView line, LineAt(offset / kLineSize));
    const ByteView rest = line.subspan(offset % kLineSize);
    const size_t part = std::min(rest.size(), buffer.size());
    std::copy_n(rest.begin(), part, buffer.begin());
    offset += part;
    buffer = buffer.subspan(part);
  }
  return absl::OkStatus();
}

absl::StatusOr<ByteView> CachedSource::LineAt(uint64_t number) {
  if (const auto found = by_number_.find(number); found != by_number_.end()) {
    lines_.splice(lines_.begin(), lines_, found->second);
    return ByteView(lines_.front().content);
  }
  const uint64_t begin = number * kLineSize;
  Line line{.number = number, .content = {}};
  if (lines_.size() >= kMaxLines) {
    by_number_.erase(lines_.back().number);
    line.content = std::move(lines_.back().content);
    lines_.pop_back();
  }
  line.content.resize(std::min<uint64_t>(kLineSize, size() - begin));
  RETURN_IF_ERROR(Remember(disk_.ReadAt(begin, line.content)));
  lines_.push_front(std::move(line));
  by_number_[number] = lines_.begin();
  return ByteView(lines_.front().content);
}

absl::StatusOr<BlockSource::Extent> CachedSource::ExtentAt(uint64_t offset) {
  RETURN_IF_ERROR(budget_.Spend(0));
  auto extent = disk_.ExtentAt(offset);
  RETURN_IF_ERROR(Remember(extent.status()));
  return extent;
}

absl::Status CachedSource::ReadInOrder(uint64_t begin, uint64_t end,
                                       const Consume& consume) {
  RETURN_IF_ERROR(CheckRange(*this, begin, end - begin));
  if (end - begin < kLineSize) {
    return BlockSource::ReadInOrder(begin, end, consume);
  }
  absl::Status refused;
  const absl::Status status =
      disk_.ReadInOrder(begin, end, [&](ByteView piece) {
        refused = budget_.Spend(piece.size());
        if (refused.ok()) {
          refused = consume(piece);
        }
        return refused;
      });
  return refused.ok() ? Remember(status) : refused;
}

absl::Status CachedSource::Remember(absl::Status status) {
  if (!status.ok()) {
    budget_.Fail(status);
  }
  return status;
}

}  // namespace vmattest::disk
