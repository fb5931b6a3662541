#include "memory/stream/saved_ram.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fmt/format.h"

namespace vmattest::memory {
namespace {

constexpr size_t kMaxPending = size_t{1} << 20;

// QEMU's names of RAM; machines before 4.0 have paths for memory backends.
bool IsNameOf(std::string_view name, const RamLayout::Block& block) {
  if (name.rfind("/objects/", 0) == 0) {
    name.remove_prefix(9);
  }
  if (block.name == "ram") {
    return name == "pc.ram";
  }
  if (block.name.rfind("cell", 0) == 0) {
    return name == fmt::format("ram-node{}", block.name.substr(4));
  }
  return name == fmt::format("mem{}", block.name);
}

absl::Status WriteAt(int fd, ByteView data, uint64_t offset) {
  while (!data.empty()) {
    const ssize_t wrote =
        pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (wrote < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, "keeping a guest's memory");
    }
    data = data.subspan(static_cast<size_t>(wrote));
    offset += static_cast<uint64_t>(wrote);
  }
  return absl::OkStatus();
}

bool IsZero(ByteView page) {
  return std::all_of(page.begin(), page.end(),
                     [](uint8_t byte) { return byte == 0; });
}

}  // namespace

uint64_t SavedRamBytes(const std::vector<RamLayout::Block>& blocks) {
  uint64_t total = 0;
  for (const RamLayout::Block& block : blocks) {
    total += block.bytes;
  }
  return total;
}

SavedRam::SavedRam(UniqueFd file, std::vector<RamLayout::Block> blocks,
                   uint64_t max_bytes)
    : file_(std::move(file)), max_bytes_(max_bytes) {
  uint64_t begin = 0;
  for (RamLayout::Block& block : blocks) {
    const uint64_t bytes = block.bytes;
    blocks_.push_back(
        {std::move(block), begin, std::vector<bool>(bytes / kPageSize), false});
    begin += bytes;
  }
  pending_.reserve(kMaxPending);
}

absl::Status SavedRam::OnBlock(std::string_view name, uint64_t bytes) {
  numbers_.push_back(nullptr);
  for (Block& block : blocks_) {
    if (!IsNameOf(name, block.layout)) {
      continue;
    }
    if (block.came || block.layout.bytes != bytes) {
      return absl::FailedPreconditionError(
          fmt::format("ram-block: '{}' has {} bytes, not {}", name, bytes,
                      block.layout.bytes));
    }
    block.came = true;
    numbers_.back() = &block;
    break;
  }
  return absl::OkStatus();
}

absl::Status SavedRam::OnPage(size_t number, uint64_t offset, ByteView page) {
  Block* const block = numbers_[number];
  if (block == nullptr) {
    return absl::OkStatus();
  }
  const size_t index = offset / kPageSize;
  if (!block->exists[index]) {
    if (page.empty() || IsZero(page)) {
      return absl::OkStatus();
    }
    block->exists[index] = true;
    bytes_ += kPageSize;
    if (bytes_ > max_bytes_) {
      return absl::ResourceExhaustedError(fmt::format(
          "a guest with more than {} bytes of memory in use", max_bytes_));
    }
  }
  const uint64_t at = block->begin + offset;
  if (at != pending_at_ + pending_.size() || pending_.size() >= kMaxPending) {
    RETURN_IF_ERROR(Flush());
    pending_at_ = at;
  }
  if (page.empty()) {
    pending_.resize(pending_.size() + kPageSize);
  } else {
    pending_.insert(pending_.end(), page.begin(), page.end());
  }
  return absl::OkStatus();
}

absl::Status SavedRam::Flush() {
  RETURN_IF_ERROR(WriteAt(file_.get(), pending_, pending_at_));
  pending_.clear();
  return absl::OkStatus();
}

absl::Status SavedRam::Finish() {
  for (const Block& block : blocks_) {
    if (!block.came) {
      return absl::FailedPreconditionError(
          fmt::format("ram-block: '{}' did not come", block.layout.name));
    }
  }
  return Flush();
}

SavedMemory::SavedMemory(UniqueFd file, const RamLayout& layout,
                         bool rom_shadow)
    : file_(std::move(file)),
      sections_(layout.sections),
      ram_(RamOf(layout, rom_shadow)) {
  for (RamSection& section : sections_) {
    for (size_t block = 0; block < section.block; ++block) {
      section.offset += layout.blocks[block].bytes;
    }
  }
}

absl::Status SavedMemory::ReadAt(uint64_t address, std::span<uint8_t> buffer) {
  while (!buffer.empty()) {
    const auto in =
        std::find_if(ram_.begin(), ram_.end(), [&](const AddressRange& range) {
          return range.begin <= address && address < range.end;
        });
    const auto section = std::find_if(
        sections_.begin(), sections_.end(), [&](const RamSection& candidate) {
          return candidate.guest.begin <= address &&
                 address < candidate.guest.end;
        });
    if (in == ram_.end() || section == sections_.end()) {
      return absl::OutOfRangeError(fmt::format("no RAM at {:#x}", address));
    }
    const size_t size = std::min<uint64_t>(
        buffer.size(), std::min(in->end, section->guest.end) - address);
    const uint64_t at = section->offset + (address - section->guest.begin);
    const ssize_t got =
        pread(file_.get(), buffer.data(), size, static_cast<off_t>(at));
    if (got <= 0) {
      return got < 0 ? ErrnoStatus(errno, "reading saved memory")
                     : absl::UnavailableError("saved memory is cut off");
    }
    buffer = buffer.subspan(static_cast<size_t>(got));
    address += static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

}  // namespace vmattest::memory
