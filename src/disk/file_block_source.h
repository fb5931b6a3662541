#ifndef VMATTEST_DISK_FILE_BLOCK_SOURCE_H_
#define VMATTEST_DISK_FILE_BLOCK_SOURCE_H_

#include "base/handles.h"
#include "disk/block_source.h"

namespace vmattest::disk {

// A raw image through a descriptor that somebody else opened: a regular file or
// a block device. Holes are found by SEEK_DATA; a device has none.
// System calls: pread64, lseek.
class FileBlockSource final : public BlockSource {
 public:
  FileBlockSource(UniqueFd fd, uint64_t size)
      : fd_(std::move(fd)), size_(size) {}

  [[nodiscard]] uint64_t size() const override { return size_; }
  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override;
  [[nodiscard]] absl::StatusOr<Extent> ExtentAt(uint64_t offset) override;

 private:
  const UniqueFd fd_;
  const uint64_t size_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_FILE_BLOCK_SOURCE_H_
