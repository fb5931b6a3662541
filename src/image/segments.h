#ifndef VMATTEST_IMAGE_SEGMENTS_H_
#define VMATTEST_IMAGE_SEGMENTS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/mutex.h"
#include "base/status.h"

namespace vmattest::image {

// Cuts a file into equal segments, in order; the last may be shorter. A segment
// that lies wholly in a hole is marked as such, and need not be read.
// Callable from any thread. `fd` outlives every call that comes before the
// first nullopt; after Stop() or the end it is not used any more.
class Segments {
 public:
  struct Segment {
    uint64_t index = 0;
    uint64_t offset = 0;
    size_t size = 0;
    bool hole = false;
  };

  Segments(int fd, uint64_t file_size, size_t segment_size)
      : fd_(fd), file_size_(file_size), segment_size_(segment_size) {}

  std::optional<Segment> Next() EXCLUDES_LOCK(mutex_);
  // Next() answers nullopt from now on.
  void Stop() EXCLUDES_LOCK(mutex_);

 private:
  bool InHole(uint64_t begin, uint64_t end) REQUIRES_LOCK(mutex_);

  const int fd_;
  const uint64_t file_size_;
  const size_t segment_size_;
  Mutex mutex_;
  uint64_t next_ GUARDED_BY(mutex_) = 0;
  bool stopped_ GUARDED_BY(mutex_) = false;
  // The first data at or after the last offset asked for is here or later.
  uint64_t data_begin_ GUARDED_BY(mutex_) = 0;
  uint64_t data_end_ GUARDED_BY(mutex_) = 0;
};

// Fills `buffer` from `offset`. ABORTED: the file ends before that; `name` is
// for the message.
absl::Status ReadExactly(int fd, std::span<uint8_t> buffer, uint64_t offset,
                         const std::string& name);

}  // namespace vmattest::image

#endif  // VMATTEST_IMAGE_SEGMENTS_H_
