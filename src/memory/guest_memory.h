#ifndef VMATTEST_MEMORY_GUEST_MEMORY_H_
#define VMATTEST_MEMORY_GUEST_MEMORY_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"

namespace vmattest::memory {

inline constexpr uint64_t kPageSize = 4096;

// A run of guest-physical addresses, page-aligned at both ends, not empty.
struct AddressRange {
  uint64_t begin = 0;
  uint64_t end = 0;  // one past the last
  friend bool operator==(const AddressRange&, const AddressRange&) = default;
};

// A guest's RAM by guest-physical address. What it holds is hostile and changes
// while it is read, also between two reads of one place; how it is reached is
// not hostile. One thread.
class GuestMemory {
 public:
  virtual ~GuestMemory() = default;

  // Where RAM is: sorted, disjoint, adjacent runs merged. Constant.
  [[nodiscard]] virtual const std::vector<AddressRange>& ram() const = 0;

  // Fills `buffer` from `address`; a page that the host never gave the guest
  // reads as zero. Touches nothing: the guest's memory use does not grow.
  //   OUT_OF_RANGE: not all of it is RAM. UNAVAILABLE: the guest is gone, or
  //   took this RAM away. DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED: a limit.
  [[nodiscard]] virtual absl::Status ReadAt(uint64_t address,
                                            std::span<uint8_t> buffer) = 0;
};

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_GUEST_MEMORY_H_
