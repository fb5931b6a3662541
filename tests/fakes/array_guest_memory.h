#ifndef VMATTEST_TESTS_FAKES_ARRAY_GUEST_MEMORY_H_
#define VMATTEST_TESTS_FAKES_ARRAY_GUEST_MEMORY_H_

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "memory/guest_memory.h"

namespace vmattest::testing {

// RAM from address 0 that a test fills.
class ArrayGuestMemory : public memory::GuestMemory {
 public:
  explicit ArrayGuestMemory(size_t size) : bytes_(size), ram_{{0, size}} {}

  [[nodiscard]] const std::vector<memory::AddressRange>& ram() const override {
    return ram_;
  }
  [[nodiscard]] absl::Status ReadAt(uint64_t address,
                                    std::span<uint8_t> buffer) override {
    if (address > bytes_.size() || buffer.size() > bytes_.size() - address) {
      return absl::OutOfRangeError("no RAM");
    }
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(address), buffer.size(),
                buffer.begin());
    return absl::OkStatus();
  }

  // What does not fit is left out.
  void Write(uint64_t address, ByteView bytes) {
    for (size_t i = 0; i < bytes.size() && address + i < bytes_.size(); ++i) {
      bytes_[address + i] = bytes[i];
    }
  }
  void Number(uint64_t address, uint64_t value, size_t size = 8) {
    for (size_t i = 0; i < size; ++i) {
      const auto byte = static_cast<uint8_t>(value >> (8 * i));
      Write(address + i, {&byte, 1});
    }
  }

 private:
  Bytes bytes_;
  std::vector<memory::AddressRange> ram_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_ARRAY_GUEST_MEMORY_H_
