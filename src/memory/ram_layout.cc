#include "memory/ram_layout.h"

#include <algorithm>
#include <optional>

#include "fmt/format.h"

namespace vmattest::memory {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kPcLargest = 0xE0000000;  // all below 4 GiB up to here
constexpr uint64_t kQ35Largest = 0xB0000000;
constexpr uint64_t kMaxBytes = uint64_t{1} << 46;
// From here on AMD's hosts may move RAM above 4 GiB (QEMU 7.1).
constexpr uint64_t kAmdHole = uint64_t{1012} << 30;

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

absl::StatusOr<uint64_t> BelowFourGiB(const DomainMemory& domain) {
  if (StartsWith(domain.machine, "pc-q35-") || domain.machine == "q35") {
    return domain.boot_bytes >= kQ35Largest ? 2 * kGiB : domain.boot_bytes;
  }
  if (StartsWith(domain.machine, "pc-i440fx-") || domain.machine == "pc") {
    return domain.boot_bytes >= kPcLargest ? 3 * kGiB : domain.boot_bytes;
  }
  return absl::FailedPreconditionError(
      fmt::format("machine-unknown: where RAM is in '{}'", domain.machine));
}

// Sections for guest addresses `at`... of the run of boot blocks from `from`.
void AddRun(uint64_t at, uint64_t from, uint64_t bytes, size_t boot_blocks,
            RamLayout& layout) {
  uint64_t begin = 0;
  for (size_t block = 0; block < boot_blocks; ++block) {
    const uint64_t end = begin + layout.blocks[block].bytes;
    const uint64_t first = std::max(begin, from);
    const uint64_t last = std::min(end, from + bytes);
    if (first < last) {
      layout.sections.push_back(
          {{at + first - from, at + last - from}, block, first - begin});
    }
    begin = end;
  }
}

void AddDevices(const DomainMemory& domain, RamLayout& layout) {
  for (const DomainMemory::Device& device : domain.devices) {
    const bool unread =
        device.model == "virtio-pmem" || device.model == "sgx-epc";
    if (unread || !device.address) {
      layout.left_out.push_back(
          fmt::format("{} {}: {}", device.model, device.alias,
                      unread ? "it is not read" : "its address is not told"));
      continue;
    }
    // Of virtio-mem all that it may give is there, whatever it gives now: what
    // the guest was not given is as readable to it as the rest.
    layout.blocks.push_back({device.alias, device.bytes});
    layout.sections.push_back(
        {{*device.address, *device.address + device.bytes},
         layout.blocks.size() - 1,
         0});
  }
}

absl::Status Check(const DomainMemory& domain) {
  if (domain.arch != "x86_64") {
    return absl::FailedPreconditionError(
        fmt::format("machine-unknown: architecture '{}'", domain.arch));
  }
  if (!domain.launch_security.empty()) {
    return absl::FailedPreconditionError(fmt::format(
        "memory-encrypted: {} hides it from the host", domain.launch_security));
  }
  if (domain.own_arguments) {
    return absl::FailedPreconditionError(
        "own-arguments: qemu:commandline may have moved its memory");
  }
  uint64_t cells = 0;
  for (const uint64_t cell : domain.cells) {
    cells += cell;
  }
  if (domain.boot_bytes < kRomShadow.end || domain.boot_bytes > kMaxBytes ||
      domain.boot_bytes % kPageSize != 0 ||
      (!domain.cells.empty() && cells != domain.boot_bytes)) {
    return absl::FailedPreconditionError(
        fmt::format("memory-size: {} bytes at boot, {} in its cells",
                    domain.boot_bytes, cells));
  }
  if (domain.boot_bytes >= kAmdHole) {
    return absl::FailedPreconditionError(
        "memory-size: too large to know where it is");
  }
  return absl::OkStatus();
}

absl::Status CheckDisjoint(const std::vector<RamSection>& sections) {
  for (size_t i = 0; i < sections.size(); ++i) {
    const AddressRange& range = sections[i].guest;
    if (range.begin >= range.end || range.begin % kPageSize != 0 ||
        range.end % kPageSize != 0 || range.end > kMaxBytes ||
        (i > 0 && sections[i - 1].guest.end > range.begin)) {
      return absl::FailedPreconditionError(
          fmt::format("memory-overlap: at {:#x}", range.begin));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RamLayout> LayOut(const DomainMemory& domain) {
  RETURN_IF_ERROR(Check(domain));
  ASSIGN_OR_RETURN(const uint64_t below, BelowFourGiB(domain));
  RamLayout layout;
  if (domain.cells.empty()) {
    layout.blocks.push_back({"ram", domain.boot_bytes});
  }
  for (size_t i = 0; i < domain.cells.size(); ++i) {
    layout.blocks.push_back({fmt::format("cell{}", i), domain.cells[i]});
  }
  const size_t boot_blocks = layout.blocks.size();
  AddRun(0, 0, kVgaBegin, boot_blocks, layout);
  AddRun(kRomShadow.begin, kRomShadow.begin, kRomShadow.end - kRomShadow.begin,
         boot_blocks, layout);
  AddRun(kRomShadow.end, kRomShadow.end, below - kRomShadow.end, boot_blocks,
         layout);
  AddRun(kFourGiB, below, domain.boot_bytes - below, boot_blocks, layout);
  AddDevices(domain, layout);
  std::sort(layout.sections.begin(), layout.sections.end(),
            [](const RamSection& a, const RamSection& b) {
              return a.guest.begin < b.guest.begin;
            });
  RETURN_IF_ERROR(CheckDisjoint(layout.sections));
  return layout;
}

std::vector<AddressRange> RamOf(const RamLayout& layout, bool rom_shadow) {
  std::vector<AddressRange> ranges;
  for (const RamSection& section : layout.sections) {
    const bool rom = section.guest.begin >= kRomShadow.begin &&
                     section.guest.end <= kRomShadow.end;
    if (rom && !rom_shadow) {
      continue;
    }
    if (!ranges.empty() && ranges.back().end == section.guest.begin) {
      ranges.back().end = section.guest.end;
    } else {
      ranges.push_back(section.guest);
    }
  }
  return ranges;
}

}  // namespace vmattest::memory
