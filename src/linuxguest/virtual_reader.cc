#include "linuxguest/virtual_reader.h"

#include <algorithm>
#include <array>

namespace vmattest::linuxguest {
namespace {

constexpr size_t kMostKnown = 1 << 16;

}  // namespace

absl::StatusOr<const Mapping*> VirtualReader::Find(uint64_t address) {
  const uint64_t page = address & ~(memory::kPageSize - 1);
  if (const auto found = known_.find(page); found != known_.end()) {
    return &found->second;
  }
  ASSIGN_OR_RETURN(const Mapping mapping,
                   Translate(*physical_, paging_, address));
  if (known_.size() >= kMostKnown) {
    known_.clear();
  }
  return &known_.emplace(page, mapping).first->second;
}

absl::StatusOr<uint64_t> VirtualReader::ToPhysical(uint64_t address) {
  ASSIGN_OR_RETURN(const Mapping* mapping, Find(address));
  return mapping->physical + (address - mapping->address);
}

absl::Status VirtualReader::Read(uint64_t address, std::span<uint8_t> buffer) {
  size_t done = 0;
  while (done < buffer.size()) {
    const uint64_t at = address + done;
    if (at < address) {
      return absl::NotFoundError("past the end of the address space");
    }
    ASSIGN_OR_RETURN(const uint64_t physical, ToPhysical(at));
    const size_t count = std::min<size_t>(
        memory::kPageSize - at % memory::kPageSize, buffer.size() - done);
    RETURN_IF_ERROR(physical_->Read(physical, buffer.subspan(done, count)));
    done += count;
  }
  return absl::OkStatus();
}

absl::StatusOr<Bytes> VirtualReader::Read(uint64_t address, uint64_t size) {
  // Before the buffer is made: a size is often what the guest says.
  RETURN_IF_ERROR(physical_->Spend(size));
  Bytes bytes(size);
  RETURN_IF_ERROR(Read(address, std::span<uint8_t>(bytes)));
  return bytes;
}

absl::StatusOr<uint64_t> VirtualReader::Number(uint64_t address, size_t size) {
  std::array<uint8_t, 8> raw{};
  RETURN_IF_ERROR(Read(address, std::span(raw).first(size)));
  return LittleEndian(raw, 0, size);
}

absl::StatusOr<std::string> VirtualReader::Text(uint64_t address, size_t most) {
  std::string text;
  while (text.size() < most) {
    const uint64_t at = address + text.size();
    std::array<uint8_t, 64> raw{};
    const size_t count =
        std::min<size_t>({raw.size(), most - text.size(),
                          memory::kPageSize - at % memory::kPageSize});
    RETURN_IF_ERROR(Read(at, std::span(raw).first(count)));
    for (size_t i = 0; i < count; ++i) {
      if (raw[i] == 0) {
        return text;
      }
      text += static_cast<char>(raw[i]);
    }
  }
  return text;
}

}  // namespace vmattest::linuxguest
