#include "worker/memory/symbol_index.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "memory/guest_memory.h"

namespace vmattest::worker {
namespace {

using linuxguest::Module;
using linuxguest::Modules;
using linuxguest::Symbol;
using linuxguest::SymbolTable;
using Part = internal::WorkerReply::NamedPart;

constexpr size_t kMostOfAPage = 8;
constexpr size_t kMessageBytes = 16;  // around a name
constexpr size_t kMostCollected = 1 << 18;
// What the compiler puts before each function, for none to run.
constexpr std::string_view kPadding = "__pfx_";

bool BeginsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

const SymbolTable* TableOf(const Part& part, const SymbolTable& kernel,
                           const Modules& modules) {
  if (BeginsWith(part.name(), "kernel/")) {
    return &kernel;
  }
  if (!BeginsWith(part.name(), "module/")) {
    return nullptr;
  }
  const auto found = std::find_if(
      modules.modules.begin(), modules.modules.end(), [&](const Module& one) {
        return one.Holding(part.address()) != nullptr;
      });
  return found == modules.modules.end() ? nullptr : &found->symbols;
}

// One of each address.
std::vector<Symbol> Within(const SymbolTable& table, uint64_t begin,
                           uint64_t end) {
  std::vector<Symbol> found;
  std::optional<uint64_t> at = begin;
  if (const auto first = table.Covering(begin);
      !first || first->address != begin) {
    at = table.Next(begin);
  }
  for (; at && *at < end; at = table.Next(*at)) {
    if (const std::optional<Symbol> symbol = table.Covering(*at);
        symbol && !BeginsWith(symbol->name, kPadding)) {
      found.push_back(*symbol);
    }
  }
  return found;
}

// The first of each page, and the last, which reaches into the next.
std::vector<Symbol> Thinned(const std::vector<Symbol>& symbols, size_t most) {
  std::vector<Symbol> kept;
  for (size_t i = 0; i < symbols.size();) {
    const uint64_t page = symbols[i].address / memory::kPageSize;
    size_t end = i;
    while (end < symbols.size() &&
           symbols[end].address / memory::kPageSize == page) {
      ++end;
    }
    const size_t first = std::min(most - 1, end - i - 1);
    kept.insert(kept.end(), symbols.begin() + static_cast<ptrdiff_t>(i),
                symbols.begin() + static_cast<ptrdiff_t>(i + first));
    kept.push_back(symbols[end - 1]);
    i = end;
  }
  return kept;
}

}  // namespace

void AddSymbols(const SymbolTable& kernel, const Modules& modules,
                MeaningReply& reply) {
  std::vector<std::pair<Part*, std::vector<Symbol>>> parts;
  size_t collected = 0;
  for (auto& region : *reply.mutable_regions()) {
    for (Part& part : *region.mutable_parts()) {
      const SymbolTable* table = TableOf(part, kernel, modules);
      if (table != nullptr && part.absent() == 0 &&
          collected < kMostCollected) {
        parts.emplace_back(&part, Within(*table, part.address(),
                                         part.address() + part.size()));
        collected += parts.back().second.size();
      }
    }
  }
  for (size_t most = kMostOfAPage; most > 0; most /= 2) {
    size_t bytes = 0;
    for (const auto& [part, symbols] : parts) {
      for (const Symbol& symbol : Thinned(symbols, most)) {
        bytes += std::min(symbol.name.size(), kMaxSymbolName) + kMessageBytes;
      }
    }
    if (bytes > kMaxIndexBytes) {
      continue;
    }
    for (const auto& [part, symbols] : parts) {
      for (const Symbol& symbol : Thinned(symbols, most)) {
        auto& added = *part->add_symbols();
        added.set_offset(symbol.address - part->address());
        added.set_name(Printable(symbol.name, kMaxSymbolName));
      }
    }
    return;
  }
}

}  // namespace vmattest::worker
