#ifndef VMATTEST_TESTS_SUPPORT_MEMFD_GUEST_MEMORY_H_
#define VMATTEST_TESTS_SUPPORT_MEMFD_GUEST_MEMORY_H_

#include <sys/types.h>

#include <memory>
#include <vector>

#include "base/handles.h"
#include "memory/guest_memory.h"

namespace vmattest::testing {

// RAM of a QEMU on a `pc` machine with one memfd backend below 3 GiB, read and
// written through /proc/PID/fd; the ROM window is no RAM.
class MemfdGuestMemory : public memory::GuestMemory {
 public:
  static absl::StatusOr<std::unique_ptr<MemfdGuestMemory>> Open(pid_t qemu);

  [[nodiscard]] const std::vector<memory::AddressRange>& ram() const override {
    return ram_;
  }
  [[nodiscard]] absl::Status ReadAt(uint64_t address,
                                    std::span<uint8_t> buffer) override;
  // What an attacker who got that far does.
  absl::Status WriteAt(uint64_t address, std::span<const uint8_t> bytes);

 private:
  MemfdGuestMemory(UniqueFd file, uint64_t size);

  UniqueFd file_;
  std::vector<memory::AddressRange> ram_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_MEMFD_GUEST_MEMORY_H_
