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

bool IsRead(const DomainMemory::Device& device) {
  return device.model != "virtio-pmem" && device.model != "sgx-epc";
}

// The first room for `device` past the RAM that the machine began with, as
// memory_device_get_free_addr() in QEMU's hw/mem/memory-device.c looks for it.
// None: it is not known what may be in its way.
std::optional<uint64_t> FirstRoom(const DomainMemory& domain, uint64_t below,
                                  const DomainMemory::Device& device,
                                  const std::vector<RamSection>& taken) {
  if (device.model != "virtio-mem" || device.bytes > kMaxBytes ||
      device.block_bytes == 0 || device.block_bytes > kMaxBytes ||
      !std::all_of(domain.devices.begin(), domain.devices.end(), IsRead)) {
    return std::nullopt;
  }
  const auto up = [](uint64_t address, uint64_t to) {
    return (address + to - 1) / to * to;
  };
  uint64_t at =
      up(up(kFourGiB + domain.boot_bytes - below, kGiB), device.block_bytes);
  for (bool moved = true; moved;) {
    moved = false;
    for (const RamSection& section : taken) {
      if (section.guest.end > kMaxBytes) {
        return std::nullopt;
      }
      if (section.guest.begin < at + device.bytes && at < section.guest.end) {
        at = up(section.guest.end, device.block_bytes);
        moved = true;
      }
    }
  }
  return at;
}

void AddDevice(const DomainMemory::Device& device, uint64_t address,
               RamLayout& layout) {
  // Of virtio-mem all that it may give is there, whatever it gives now: what
  // the guest was not given is as readable to it as the rest.
  layout.blocks.push_back({device.alias, device.bytes, !device.address});
  layout.sections.push_back(
      {{address, address + device.bytes}, layout.blocks.size() - 1, 0});
}

void AddDevices(const DomainMemory& domain, uint64_t below, RamLayout& layout) {
  for (const DomainMemory::Device& device : domain.devices) {
    if (IsRead(device) && device.address) {
      AddDevice(device, *device.address, layout);
    }
  }
  for (const DomainMemory::Device& device : domain.devices) {
    if (!IsRead(device)) {
      layout.left_out.push_back(
          fmt::format("{}: {} is not read", device.alias, device.model));
    } else if (!device.address) {
      if (const auto room = FirstRoom(domain, below, device, layout.sections)) {
        AddDevice(device, *room, layout);
      } else {
        layout.left_out.push_back(
            fmt::format("{}: its address is not told", device.alias));
      }
    }
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
  AddDevices(domain, below, layout);
  std::sort(layout.sections.begin(), layout.sections.end(),
            [](const RamSection& a, const RamSection& b) {
              return a.guest.begin < b.guest.begin;
            });
  RETURN_IF_ERROR(CheckDisjoint(layout.sections));
  return layout;
}

void LeaveOut(size_t block, std::string_view reason, RamLayout& layout) {
  layout.left_out.push_back(
      fmt::format("{}: {}", layout.blocks[block].name, reason));
  layout.blocks.erase(layout.blocks.begin() + static_cast<ptrdiff_t>(block));
  std::erase_if(layout.sections, [block](const RamSection& section) {
    return section.block == block;
  });
  for (RamSection& section : layout.sections) {
    section.block -= section.block > block ? 1 : 0;
  }
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
