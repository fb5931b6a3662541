#ifndef VMATTEST_MEMORY_LINUX_RAM_BLOCK_H_
#define VMATTEST_MEMORY_LINUX_RAM_BLOCK_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/handles.h"
#include "base/status.h"
#include "memory/guest_memory.h"
#include "memory/layout_proof.h"

namespace vmattest::memory {

// How a block of RAM is reached, by descriptors that somebody privileged
// opened for reading alone.
struct RamSource {
  enum class Way : uint8_t {
    kFile,     // shared memory: the file itself (memfd, hugetlbfs, ...)
    kProcess,  // anything else: /proc/PID/mem
  };
  Way way = Way::kProcess;
  uint64_t base = 0;  // where the block begins in `memory`
  uint64_t bytes = 0;
  // kProcess: pages that /proc/PID/pagemap says are neither present nor swapped
  // were never written, and read as zero (rule S23): nothing lies under them.
  bool anonymous = false;
  // kFile: in page cache only, so that mapping it costs nothing.
  bool mappable = false;
  UniqueFd memory;
  UniqueFd pagemap;  // kProcess
  // Where the process has it, and of which file; 0: of none.
  AddressRange mapped{};
  uint64_t inode = 0;
};

// Reads one block of RAM and leaves it as it is: holes are not touched, since
// that would fill them. Needs nothing but its descriptors. Reads of several
// threads may run at once.
class RamBlock final : public BlockCandidate {
 public:
  explicit RamBlock(RamSource source) : source_(std::move(source)) {}
  RamBlock(const RamBlock&) = delete;
  RamBlock& operator=(const RamBlock&) = delete;
  ~RamBlock() override;

  [[nodiscard]] uint64_t bytes() const override { return source_.bytes; }
  [[nodiscard]] const RamSource& source() const { return source_; }

  // Which parts of [begin, end) exist, as offsets into the block: whole pages,
  // sorted, adjacent ones merged. The rest reads as zero.
  absl::StatusOr<std::vector<AddressRange>> Extents(uint64_t begin,
                                                    uint64_t end) const;
  // UNAVAILABLE: it is not there any more: the process ended, or the file
  // shrank. What was read by then is in `buffer`.
  absl::Status Read(uint64_t offset, std::span<uint8_t> buffer) override;
  absl::StatusOr<uint64_t> FirstUsed(uint64_t begin, uint64_t end) override;
  absl::StatusOr<uint64_t> LastUsed(uint64_t begin, uint64_t end) override;

  // The block, mapped for reading; nullptr if it is not mappable. Only extents
  // may be touched, with GuardedRead(): the file may shrink meanwhile.
  const uint8_t* Map();

 private:
  [[nodiscard]] std::vector<AddressRange> FileExtents(uint64_t begin,
                                                      uint64_t end) const;
  absl::StatusOr<std::vector<AddressRange>> ProcessExtents(uint64_t begin,
                                                           uint64_t end) const;
  absl::StatusOr<bool> IsUsed(uint64_t page);

  const RamSource source_;
  void* map_ = nullptr;
};

// Calls `read`, which touches mapped memory; false if some of that was not
// there any more (SIGBUS): `read` was left in the middle then, so it must own
// nothing. Installs the signal's handler for the whole process, once.
bool GuardedRead(void (*read)(void* argument), void* argument);

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_LINUX_RAM_BLOCK_H_
