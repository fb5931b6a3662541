#ifndef VMATTEST_TESTS_FAKES_MEMORY_BLOCK_SOURCE_H_
#define VMATTEST_TESTS_FAKES_MEMORY_BLOCK_SOURCE_H_

#include <algorithm>
#include <utility>

#include "disk/block_source.h"

namespace vmattest::testing {

// A disk in memory, zero where nothing was written. Counts what is read.
class MemoryBlockSource final : public disk::BlockSource {
 public:
  explicit MemoryBlockSource(Bytes content) : content_(std::move(content)) {}
  explicit MemoryBlockSource(std::string_view content)
      : content_(ToBytes(content)) {}

  void Write(uint64_t offset, ByteView bytes) {
    std::copy(bytes.begin(), bytes.end(),
              content_.begin() + static_cast<ptrdiff_t>(offset));
  }
  void Write(uint64_t offset, std::string_view text) {
    Write(offset, AsBytes(text));
  }

  [[nodiscard]] uint64_t size() const override { return content_.size(); }
  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override {
    RETURN_IF_ERROR(disk::CheckRange(*this, offset, buffer.size()));
    RETURN_IF_ERROR(failure);
    std::copy_n(content_.begin() + static_cast<ptrdiff_t>(offset),
                buffer.size(), buffer.begin());
    ++reads;
    read_bytes += buffer.size();
    return absl::OkStatus();
  }

  absl::Status failure;  // of every read
  size_t reads = 0;
  uint64_t read_bytes = 0;

 private:
  Bytes content_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_MEMORY_BLOCK_SOURCE_H_
