#include "linuxguest/symbol_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <numeric>

namespace vmattest::linuxguest {

absl::Status SymbolTable::Add(uint64_t address, char type,
                              std::string_view name, const Limits& limits) {
  if (entries_.size() >= limits.symbols ||
      names_.size() + name.size() > limits.symbol_bytes ||
      name.size() > std::numeric_limits<uint16_t>::max()) {
    return absl::ResourceExhaustedError("more symbols than may be kept");
  }
  entries_.push_back({address, static_cast<uint32_t>(names_.size()),
                      static_cast<uint16_t>(name.size()), type});
  names_ += name;
  return absl::OkStatus();
}

void SymbolTable::Sort() {
  std::stable_sort(
      entries_.begin(), entries_.end(),
      [](const Entry& a, const Entry& b) { return a.address < b.address; });
  by_name_.resize(entries_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0U);
  std::stable_sort(by_name_.begin(), by_name_.end(),
                   [this](uint32_t a, uint32_t b) {
                     return NameOf(entries_[a]) < NameOf(entries_[b]);
                   });
}

std::string_view SymbolTable::NameOf(const Entry& entry) const {
  return std::string_view(names_).substr(entry.begin, entry.size);
}

Symbol SymbolTable::at(size_t index) const {
  const Entry& entry = entries_[index];
  return {entry.address, NameOf(entry), entry.type};
}

std::vector<Symbol> SymbolTable::Named(std::string_view name) const {
  std::vector<Symbol> found;
  auto next = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                               [this](uint32_t index, std::string_view wanted) {
                                 return NameOf(entries_[index]) < wanted;
                               });
  for (; next != by_name_.end() && NameOf(entries_[*next]) == name; ++next) {
    found.push_back(at(*next));
  }
  return found;
}

std::optional<uint64_t> SymbolTable::Address(std::string_view name) const {
  const std::vector<Symbol> found = Named(name);
  const bool one =
      !found.empty() &&
      std::all_of(found.begin(), found.end(), [&found](const Symbol& symbol) {
        return symbol.address == found[0].address;
      });
  return one ? std::optional(found[0].address) : std::nullopt;
}

std::optional<uint64_t> SymbolTable::GlobalAddress(
    std::string_view name) const {
  std::optional<uint64_t> address;
  for (const Symbol& symbol : Named(name)) {
    if (std::isupper(static_cast<unsigned char>(symbol.type)) == 0) {
      continue;
    }
    if (address && *address != symbol.address) {
      return std::nullopt;
    }
    address = symbol.address;
  }
  return address;
}

absl::StatusOr<uint64_t> SymbolTable::Require(std::string_view name) const {
  const std::optional<uint64_t> address = Address(name);
  if (!address) {
    return absl::NotFoundError(
        fmt::format("the kernel has no symbol {}, or several", name));
  }
  return *address;
}

std::optional<Symbol> SymbolTable::Covering(uint64_t address) const {
  auto after = std::upper_bound(
      entries_.begin(), entries_.end(), address,
      [](uint64_t at, const Entry& entry) { return at < entry.address; });
  if (after == entries_.begin()) {
    return std::nullopt;
  }
  const uint64_t begin = std::prev(after)->address;
  const auto first = std::lower_bound(
      entries_.begin(), after, begin,
      [](const Entry& entry, uint64_t at) { return entry.address < at; });
  const auto global = std::find_if(first, after, [](const Entry& entry) {
    return std::isupper(static_cast<unsigned char>(entry.type)) != 0;
  });
  return at(static_cast<size_t>((global == after ? first : global) -
                                entries_.begin()));
}

std::optional<uint64_t> SymbolTable::Next(uint64_t address) const {
  const auto after = std::upper_bound(
      entries_.begin(), entries_.end(), address,
      [](uint64_t at, const Entry& entry) { return at < entry.address; });
  return after == entries_.end() ? std::nullopt : std::optional(after->address);
}

std::vector<Symbol> SymbolTable::Matching(std::string_view glob) const {
  std::vector<Symbol> found;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (GlobMatches(glob, NameOf(entries_[i]))) {
      found.push_back(at(i));
    }
  }
  return found;
}

// Goes back to the last `*` only, so its time is the product of the lengths.
bool GlobMatches(std::string_view glob, std::string_view text) {
  size_t g = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t resume = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = t;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') {
    ++g;
  }
  return g == glob.size();
}

}  // namespace vmattest::linuxguest
