#include "linuxguest/system_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <tuple>
#include <utility>

namespace vmattest::linuxguest {
namespace {

constexpr size_t kMostNamed = 16;
constexpr size_t kMaxName = 512;  // KSYM_NAME_LEN
constexpr int kHex = 16;

absl::Status Malformed(size_t line) {
  return absl::InvalidArgumentError(
      fmt::format("System.map: line {} is no address, type and name", line));
}

}  // namespace

absl::StatusOr<SystemMap> SystemMap::Parse(std::string_view text,
                                           const Limits& limits) {
  SystemMap map;
  for (size_t line = 1; !text.empty(); ++line) {
    const std::string_view one = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    Entry entry{{}, 0};
    const auto [end, error] = std::from_chars(
        one.data(), one.data() + one.size(), entry.address, kHex);
    const std::string_view rest =
        one.substr(static_cast<size_t>(end - one.data()));
    // " T name"
    if (error != std::errc() || rest.size() < 4 || rest[0] != ' ' ||
        rest[2] != ' ' || rest.size() > kMaxName) {
      return Malformed(line);
    }
    entry.name = rest.substr(3);
    if (map.entries_.size() == limits.symbols) {
      return absl::ResourceExhaustedError("System.map: too many symbols");
    }
    map.entries_.push_back(entry);
  }
  std::sort(map.entries_.begin(), map.entries_.end(),
            [](const Entry& a, const Entry& b) {
              return std::tie(a.name, a.address) < std::tie(b.name, b.address);
            });
  return map;
}

bool SystemMap::Has(uint64_t address, std::string_view name) const {
  const auto found = std::lower_bound(
      entries_.begin(), entries_.end(), std::pair(name, address),
      [](const Entry& entry, const auto& wanted) {
        return std::pair(entry.name, entry.address) < wanted;
      });
  return found != entries_.end() && found->name == name &&
         found->address == address;
}

absl::StatusOr<uint64_t> SystemMap::Require(std::string_view name) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const Entry& entry, std::string_view wanted) {
                         return entry.name < wanted;
                       });
  if (found == entries_.end() || found->name != name ||
      (found + 1 != entries_.end() && (found + 1)->name == name)) {
    return absl::NotFoundError(fmt::format("System.map: not one {}", name));
  }
  return found->address;
}

absl::StatusOr<Findings> CheckSymbols(const Kernel& kernel,
                                      const SystemMap& map) {
  ASSIGN_OR_RETURN(const uint64_t linked, map.Require("_text"));
  ASSIGN_OR_RETURN(const uint64_t text, kernel.symbols().Require("_text"));
  ASSIGN_OR_RETURN(const uint64_t end, kernel.symbols().Require("_end"));
  Findings out;
  size_t more = 0;
  for (size_t i = 0; i < kernel.symbols().size(); ++i) {
    const Symbol symbol = kernel.symbols().at(i);
    // Offsets of each processor's variables, and absolute ones, do not move.
    if (symbol.address < text || symbol.address > end ||
        map.Has(symbol.address - text + linked, symbol.name)) {
      continue;
    }
    if (out.size() == kMostNamed) {
      ++more;
      continue;
    }
    out.push_back({"symbols-modified", Severity::kCritical,
                   std::string(symbol.name), "as System.map has it",
                   fmt::format("0x{:x}", symbol.address - text + linked)});
  }
  if (more > 0) {
    out.push_back({"symbols-modified", Severity::kCritical, "kallsyms",
                   "as System.map has them", fmt::format("{} more", more)});
  }
  return out;
}

}  // namespace vmattest::linuxguest
