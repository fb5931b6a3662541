#include "disk/file_block_source.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace vmattest::disk {

absl::Status FileBlockSource::ReadAt(uint64_t offset,
                                     std::span<uint8_t> buffer) {
  RETURN_IF_ERROR(CheckRange(*this, offset, buffer.size()));
  while (!buffer.empty()) {
    const ssize_t count = pread(fd_.get(), buffer.data(), buffer.size(),
                                static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return ErrnoStatus(errno, "reading the image");
    }
    if (count == 0) {
      return absl::AbortedError("the image became shorter while it was read");
    }
    offset += static_cast<uint64_t>(count);
    buffer = buffer.subspan(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::StatusOr<BlockSource::Extent> FileBlockSource::ExtentAt(uint64_t offset) {
  RETURN_IF_ERROR(CheckRange(*this, offset, 1));
  const auto at = static_cast<off_t>(offset);
  const auto end = static_cast<off_t>(size_);
  const off_t data = lseek(fd_.get(), at, SEEK_DATA);
  if (data < 0 && errno == ENXIO) {
    return Extent{.size = size_ - offset, .zero = true};
  }
  if (data < 0) {
    return Extent{.size = size_ - offset, .zero = false};
  }
  if (data > at) {
    return Extent{.size = static_cast<uint64_t>(std::min(data, end) - at),
                  .zero = true};
  }
  const off_t hole = lseek(fd_.get(), at, SEEK_HOLE);
  const off_t until = hole > at ? std::min(hole, end) : end;
  return Extent{.size = static_cast<uint64_t>(until - at), .zero = false};
}

}  // namespace vmattest::disk
