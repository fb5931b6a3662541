#include "image/segments.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fmt/format.h"

namespace vmattest::image {

std::optional<Segments::Segment> Segments::Next() {
  const MutexLock lock(mutex_);
  const uint64_t offset = next_ * segment_size_;
  if (stopped_ || offset >= file_size_) {
    return std::nullopt;
  }
  Segment segment;
  segment.index = next_++;
  segment.offset = offset;
  segment.size = static_cast<size_t>(
      std::min<uint64_t>(segment_size_, file_size_ - offset));
  segment.hole = InHole(offset, offset + segment.size);
  return segment;
}

void Segments::Stop() {
  const MutexLock lock(mutex_);
  stopped_ = true;
}

bool Segments::InHole(uint64_t begin, uint64_t end) {
  if (begin >= data_end_) {
    const off_t data = lseek(fd_, static_cast<off_t>(begin), SEEK_DATA);
    if (data >= 0) {
      const off_t hole = lseek(fd_, data, SEEK_HOLE);
      data_begin_ = static_cast<uint64_t>(data);
      data_end_ = hole > data ? static_cast<uint64_t>(hole) : end;
    } else if (errno == ENXIO) {
      data_begin_ = data_end_ = file_size_;
    } else {
      data_begin_ = begin;  // a file system that cannot tell: all is data
      data_end_ = file_size_;
    }
  }
  return end <= data_begin_;
}

absl::Status ReadExactly(int fd, std::span<uint8_t> buffer, uint64_t offset,
                         const std::string& name) {
  while (!buffer.empty()) {
    const ssize_t got =
        pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (got > 0) {
      buffer = buffer.subspan(static_cast<size_t>(got));
      offset += static_cast<uint64_t>(got);
    } else if (got == 0) {
      return absl::AbortedError(fmt::format(
          "{}: changed while it was read: it ends at byte {}", name, offset));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno,
                         fmt::format("{}: reading at byte {}", name, offset));
    }
  }
  return absl::OkStatus();
}

}  // namespace vmattest::image
