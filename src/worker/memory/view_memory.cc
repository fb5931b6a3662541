#include "worker/memory/view_memory.h"

#include <algorithm>

#include "fmt/format.h"

namespace vmattest::worker {

using memory::AddressRange;

absl::Status ViewMemory::ReadAt(uint64_t address, std::span<uint8_t> buffer) {
  const AddressRange range{address, address + buffer.size()};
  if (range.end < address ||
      std::none_of(ram_.begin(), ram_.end(), [&](const AddressRange& ram) {
        return ram.begin <= range.begin && range.end <= ram.end;
      })) {
    return absl::OutOfRangeError(
        fmt::format("{:#x} to {:#x} is not RAM", range.begin, range.end));
  }
  return view_.ReadUsed(range, buffer);
}

std::vector<AddressRange> RamOf(
    const std::vector<memory::RamSection>& sections) {
  std::vector<AddressRange> ram;
  for (const memory::RamSection& section : sections) {
    if (!ram.empty() && ram.back().end == section.guest.begin) {
      ram.back().end = section.guest.end;
    } else {
      ram.push_back(section.guest);
    }
  }
  return ram;
}

}  // namespace vmattest::worker
