#ifndef VMATTEST_LINUXGUEST_PHYSICAL_READER_H_
#define VMATTEST_LINUXGUEST_PHYSICAL_READER_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "base/bytes.h"
#include "base/status.h"
#include "linuxguest/limits.h"
#include "memory/guest_memory.h"

namespace vmattest::linuxguest {

// Guest-physical memory, page by page and remembered, so that a place that was
// checked is the place that is used, though the guest runs on; and paid for, so
// that every loop a guest can lay out ends. One thread; keeps `memory` alive no
// longer than its caller does.
//
// Errors, here and in everything built on it:
//   NOT_FOUND          nothing is there: no RAM, no mapping, no such name
//   DATA_LOSS          the guest's structures contradict themselves
//   RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED   a limit; so will every later call
//   UNAVAILABLE        the guest is gone
class PhysicalReader {
 public:
  PhysicalReader(memory::GuestMemory& memory, const Limits& limits);

  [[nodiscard]] absl::Status Read(uint64_t address, std::span<uint8_t> buffer);
  [[nodiscard]] absl::StatusOr<uint64_t> U64(uint64_t address);

  // True if all of it is RAM.
  [[nodiscard]] bool IsRam(uint64_t address, uint64_t size) const;

  // Pays for one step of a loop that reads nothing.
  [[nodiscard]] absl::Status Spend(uint64_t bytes);
  // Forgets what was read, and what was spent: the next look sees the guest as
  // it is then.
  void Forget();

  [[nodiscard]] const Limits& limits() const { return limits_; }
  [[nodiscard]] memory::GuestMemory& memory() { return memory_; }

 private:
  using Page = std::array<uint8_t, memory::kPageSize>;
  absl::StatusOr<const Page*> Fetch(uint64_t page);

  memory::GuestMemory& memory_;
  const Limits limits_;
  std::chrono::steady_clock::time_point deadline_;
  uint64_t left_;
  uint64_t until_clock_ = 0;
  absl::Status spent_;
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
};

// `size` bytes at `offset`, least significant first; zero past the end.
uint64_t LittleEndian(ByteView bytes, size_t offset, size_t size);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_PHYSICAL_READER_H_
