#include "linuxguest/vmcoreinfo.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>

#include "base/bytes.h"
#include "linuxguest/physical_reader.h"

namespace vmattest::linuxguest {
namespace {

// __START_KERNEL_map of arch/x86/include/asm/page_64_types.h
constexpr uint64_t kImageMap = 0xffffffff80000000;
constexpr uint64_t kChunk = 1 << 20;
constexpr size_t kMostText = 8192;
constexpr size_t kMostSymbols = 256;

// Elf64_Nhdr {namesz 11, descsz, type 0}, then the name, padded to 4.
constexpr std::string_view kName("VMCOREINFO\0\0", 12);
constexpr size_t kTextOffset = 12 + 12;

bool BeginsNote(ByteView page) {
  return LittleEndian(page, 0, 4) == 11 &&
         std::memcmp(page.data() + 12, kName.data(), kName.size()) == 0;
}

std::optional<uint64_t> ParseNumber(std::string_view text, int base) {
  if (base == 16 && text.substr(0, 2) == "0x") {
    text.remove_prefix(2);
  }
  const bool negative = base == 10 && !text.empty() && text[0] == '-';
  text.remove_prefix(negative ? 1 : 0);
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return negative ? ~value + 1 : value;
}

bool ParseLine(std::string_view key, std::string_view value, VmcoreInfo& info) {
  const auto set = [&](uint64_t& field, int base) {
    const std::optional<uint64_t> number = ParseNumber(value, base);
    field = number.value_or(0);
    return number.has_value();
  };
  if (key == "OSRELEASE") {
    info.release = value;
    return !value.empty() && value.size() <= 64;
  }
  if (key == "BUILD-ID") {
    info.build_id = value;
    return ParseHex(value).ok();
  }
  if (key == "KERNELOFFSET") {
    return set(info.kernel_offset, 16);
  }
  if (key == "NUMBER(phys_base)") {
    return set(info.phys_base, 10);
  }
  if (key == "NUMBER(pgtable_l5_enabled)") {
    info.five_levels = value == "1";
    return value == "0" || value == "1";
  }
  if (key.substr(0, 7) == "SYMBOL(" && key.back() == ')') {
    return info.symbols.size() < kMostSymbols &&
           set(info.symbols[std::string(key.substr(7, key.size() - 8))], 16);
  }
  return true;
}

}  // namespace

std::optional<uint64_t> VmcoreInfo::Symbol(std::string_view name) const {
  const auto found = symbols.find(name);
  return found == symbols.end() ? std::nullopt : std::optional(found->second);
}

uint64_t VmcoreInfo::ImagePhysical(uint64_t address) const {
  return address - kImageMap + phys_base;
}

absl::StatusOr<VmcoreInfo> ParseVmcoreInfo(std::string_view text) {
  VmcoreInfo info;
  text = text.substr(0, std::min(text.size(), kMostText));
  text = text.substr(0, text.find('\0'));
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return absl::DataLossError("VMCOREINFO: a line that assigns nothing");
    }
    if (!ParseLine(line.substr(0, equals), line.substr(equals + 1), info)) {
      return absl::DataLossError(
          fmt::format("VMCOREINFO: no value of {}",
                      line.substr(0, std::min<size_t>(equals, 64))));
    }
  }
  for (const char* name :
       {"swapper_pg_dir", "_stext", "kallsyms_names", "kallsyms_num_syms",
        "kallsyms_token_table", "kallsyms_token_index", "kallsyms_offsets",
        "kallsyms_relative_base"}) {
    if (!info.Symbol(name)) {
      return absl::DataLossError(
          fmt::format("VMCOREINFO: no SYMBOL({})", name));
    }
  }
  if (info.release.empty() || info.build_id.empty()) {
    return absl::DataLossError("VMCOREINFO: no OSRELEASE or no BUILD-ID");
  }
  return info;
}

absl::StatusOr<VmcoreInfoNotes> FindVmcoreInfo(memory::GuestMemory& memory,
                                               const Limits& limits) {
  VmcoreInfoNotes found;
  Bytes chunk(kChunk);
  const auto deadline = std::chrono::steady_clock::now() + limits.time;
  for (const memory::AddressRange& range : memory.ram()) {
    for (uint64_t at = range.begin; at < range.end; at += kChunk) {
      if (std::chrono::steady_clock::now() > deadline) {
        return absl::DeadlineExceededError("searching RAM took too long");
      }
      const std::span<uint8_t> part =
          std::span(chunk).first(std::min(kChunk, range.end - at));
      RETURN_IF_ERROR(memory.ReadAt(at, part));
      for (size_t page = 0; page < part.size(); page += memory::kPageSize) {
        const ByteView bytes = part.subspan(page, memory::kPageSize);
        if (!BeginsNote(bytes)) {
          continue;
        }
        if (found.notes.size() + found.malformed.size() >= limits.candidates) {
          found.more = true;
          return found;
        }
        absl::StatusOr<VmcoreInfo> info =
            ParseVmcoreInfo(AsText(bytes.subspan(kTextOffset)));
        if (!info.ok()) {
          found.malformed.push_back(
              fmt::format("at 0x{:x}: {}", at + page,
                          std::string(info.status().message())));
          continue;
        }
        info->page = at + page;
        found.notes.push_back(*std::move(info));
      }
    }
  }
  return found;
}

}  // namespace vmattest::linuxguest
