#include "disk/block_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace vmattest::disk {

absl::Status CheckRange(const BlockSource& source, uint64_t offset,
                        uint64_t length) {
  if (offset > source.size() || length > source.size() - offset) {
    return absl::OutOfRangeError(
        fmt::format("{} bytes at {} of {}", length, offset, source.size()));
  }
  return absl::OkStatus();
}

absl::Status BlockSource::ReadInOrder(uint64_t begin, uint64_t end,
                                      const Consume& consume) {
  if (begin >= end) {
    return absl::OkStatus();
  }
  const size_t room = std::min<uint64_t>(kPieceSize, end - begin);
  const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(room);
  for (uint64_t at = begin; at < end;) {
    const std::span<uint8_t> piece(buffer.get(),
                                   std::min<uint64_t>(room, end - at));
    RETURN_IF_ERROR(ReadAt(at, piece));
    RETURN_IF_ERROR(consume(piece));
    at += piece.size();
  }
  return absl::OkStatus();
}

absl::Status BlockSource::ReadBlocks(uint64_t begin, uint64_t end,
                                     Blocks& blocks) {
  while (begin < end) {
    std::span<uint8_t> block = blocks.Next();
    block = block.first(std::min<uint64_t>(block.size(), end - begin));
    RETURN_IF_ERROR(ReadAt(begin, block));
    begin += block.size();
    blocks.Filled(block.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<Bytes> ReadAll(BlockSource& source, uint64_t max_size) {
  if (source.size() > max_size) {
    return absl::ResourceExhaustedError(
        fmt::format("{} bytes; at most {} are read", source.size(), max_size));
  }
  Bytes content(source.size());
  RETURN_IF_ERROR(source.ReadAt(0, content));
  return content;
}

absl::Status SliceSource::ReadAt(uint64_t offset, std::span<uint8_t> buffer) {
  RETURN_IF_ERROR(CheckRange(*this, offset, buffer.size()));
  return whole_.ReadAt(begin_ + offset, buffer);
}

absl::StatusOr<BlockSource::Extent> SliceSource::ExtentAt(uint64_t offset) {
  ASSIGN_OR_RETURN(Extent extent, whole_.ExtentAt(begin_ + offset));
  extent.size = std::min(extent.size, size_ - offset);
  return extent;
}

absl::Status SliceSource::ReadInOrder(uint64_t begin, uint64_t end,
                                      const Consume& consume) {
  RETURN_IF_ERROR(CheckRange(*this, begin, end - begin));
  return whole_.ReadInOrder(begin_ + begin, begin_ + end, consume);
}

}  // namespace vmattest::disk
