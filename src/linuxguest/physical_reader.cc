#include "linuxguest/physical_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kLeastCost = 64;
constexpr uint64_t kBytesPerClock = 1 << 20;

}  // namespace

PhysicalReader::PhysicalReader(memory::GuestMemory& memory,
                               const Limits& limits)
    : memory_(memory),
      limits_(limits),
      deadline_(std::chrono::steady_clock::now() + limits.time),
      left_(limits.bytes) {}

void PhysicalReader::Forget() {
  pages_.clear();
  deadline_ = std::chrono::steady_clock::now() + limits_.time;
  left_ = limits_.bytes;
  until_clock_ = 0;
  spent_ = absl::OkStatus();
}

absl::Status PhysicalReader::Spend(uint64_t bytes) {
  RETURN_IF_ERROR(spent_);
  bytes = std::max(bytes, kLeastCost);
  if (bytes > left_) {
    spent_ = absl::ResourceExhaustedError(
        "the guest's structures lead to more than may be read");
    return spent_;
  }
  left_ -= bytes;
  until_clock_ += bytes;
  if (until_clock_ >= kBytesPerClock) {
    until_clock_ = 0;
    if (std::chrono::steady_clock::now() > deadline_) {
      spent_ = absl::DeadlineExceededError(
          "looking at the guest's structures took too long");
    }
  }
  return spent_;
}

bool PhysicalReader::IsRam(uint64_t address, uint64_t size) const {
  const auto& ram = memory_.ram();
  const auto after =
      std::upper_bound(ram.begin(), ram.end(), address,
                       [](uint64_t at, const memory::AddressRange& range) {
                         return at < range.begin;
                       });
  if (after == ram.begin()) {
    return false;
  }
  const memory::AddressRange& range = *std::prev(after);
  return address < range.end && size <= range.end - address;
}

absl::StatusOr<const PhysicalReader::Page*> PhysicalReader::Fetch(
    uint64_t page) {
  if (const auto found = pages_.find(page); found != pages_.end()) {
    return found->second.get();
  }
  if (!IsRam(page, memory::kPageSize)) {
    return absl::NotFoundError(fmt::format("no RAM at 0x{:x}", page));
  }
  if (pages_.size() >= limits_.cached_pages) {
    pages_.clear();
  }
  auto fresh = std::make_unique<Page>();
  RETURN_IF_ERROR(memory_.ReadAt(page, *fresh));
  return pages_.emplace(page, std::move(fresh)).first->second.get();
}

absl::Status PhysicalReader::Read(uint64_t address, std::span<uint8_t> buffer) {
  RETURN_IF_ERROR(Spend(buffer.size()));
  size_t done = 0;
  while (done < buffer.size()) {
    const uint64_t at = address + done;
    if (at < address) {
      return absl::NotFoundError("past the end of the address space");
    }
    const uint64_t offset = at % memory::kPageSize;
    ASSIGN_OR_RETURN(const Page* page, Fetch(at - offset));
    const size_t count =
        std::min<size_t>(memory::kPageSize - offset, buffer.size() - done);
    std::memcpy(buffer.data() + done, page->data() + offset, count);
    done += count;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> PhysicalReader::U64(uint64_t address) {
  std::array<uint8_t, 8> raw{};
  RETURN_IF_ERROR(Read(address, raw));
  return LittleEndian(raw, 0, 8);
}

uint64_t LittleEndian(ByteView bytes, size_t offset, size_t size) {
  uint64_t value = 0;
  for (size_t i = size; i-- > 0;) {
    const size_t at = offset + i;
    value = value << 8 | (at < bytes.size() && at >= offset ? bytes[at] : 0);
  }
  return value;
}

}  // namespace vmattest::linuxguest
