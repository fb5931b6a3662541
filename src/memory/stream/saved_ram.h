#ifndef VMATTEST_MEMORY_STREAM_SAVED_RAM_H_
#define VMATTEST_MEMORY_STREAM_SAVED_RAM_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/handles.h"
#include "base/status.h"
#include "memory/guest_memory.h"
#include "memory/ram_layout.h"
#include "memory/stream/saved_state.h"

namespace vmattest::memory {

// Where a layout's blocks lie in one file, one after the other: what an
// unlinked, sparse file of SavedRamBytes() is filled with.
uint64_t SavedRamBytes(const std::vector<RamLayout::Block>& blocks);

// Keeps a stream's pages of RAM in a file; what the guest has beside RAM (ROMs,
// video memory) is left out. Pages that are all zero, or do not come, stay
// holes. One thread.
class SavedRam final : public RamSink {
 public:
  // `file`, empty, can be written to; at most `max_bytes` of pages exist in it.
  SavedRam(UniqueFd file, std::vector<RamLayout::Block> blocks,
           uint64_t max_bytes);

  // FAILED_PRECONDITION "ram-block: ...": it is not as large as the layout has
  // it. RESOURCE_EXHAUSTED: too much for the file's limit, or its disk.
  absl::Status OnBlock(std::string_view name, uint64_t bytes) override;
  absl::Status OnPage(size_t block, uint64_t offset, ByteView page) override;

  // To be called at the stream's end. FAILED_PRECONDITION: a block of RAM that
  // did not come.
  absl::Status Finish();
  // Of pages that exist in the file.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  struct Block {
    RamLayout::Block layout;
    uint64_t begin = 0;  // in the file
    std::vector<bool> exists;
    bool came = false;
  };
  absl::Status Flush();

  const UniqueFd file_;
  std::vector<Block> blocks_;
  const uint64_t max_bytes_;
  std::vector<Block*> numbers_;  // of the stream's blocks; nullptr: left out
  uint64_t bytes_ = 0;
  // Pages that lie one behind the other, not written yet.
  Bytes pending_;
  uint64_t pending_at_ = 0;
};

// What SavedRam kept, by guest-physical address.
class SavedMemory final : public GuestMemory {
 public:
  SavedMemory(UniqueFd file, const RamLayout& layout, bool rom_shadow);
  [[nodiscard]] const std::vector<AddressRange>& ram() const override {
    return ram_;
  }
  [[nodiscard]] absl::Status ReadAt(uint64_t address,
                                    std::span<uint8_t> buffer) override;

 private:
  const UniqueFd file_;
  std::vector<RamSection> sections_;  // with offsets in the file
  const std::vector<AddressRange> ram_;
};

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_STREAM_SAVED_RAM_H_
