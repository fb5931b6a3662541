#include "baseline/page_names.h"

#include <algorithm>

#include "fmt/format.h"

namespace vmattest::baseline {
namespace {

using Part = evidence::SnapshotPages::Part;
using Symbol = Part::Symbol;

constexpr size_t kMostText = 160;  // of a page

// The first page of a part is cut at its beginning.
uint64_t BeginOf(const Part& part, uint64_t page_bytes, uint64_t page) {
  return page == 0 ? 0 : page * page_bytes - part.address % page_bytes;
}

std::string SymbolsOf(const Part& part, uint64_t begin, uint64_t end) {
  auto symbol = std::upper_bound(
      part.symbols.begin(), part.symbols.end(), begin,
      [](uint64_t at, const Symbol& one) { return at < one.offset; });
  if (symbol != part.symbols.begin()) {
    --symbol;
  }
  std::string text;
  for (; symbol != part.symbols.end() && symbol->offset < end; ++symbol) {
    const std::string name =
        symbol->offset < begin
            ? fmt::format("{}+{:#x}", symbol->name, begin - symbol->offset)
            : symbol->name;
    if (!text.empty() && text.size() + name.size() > kMostText) {
      return text + ", ...";
    }
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

}  // namespace

std::string NamePages(const Part& part, uint32_t page_bytes,
                      std::span<const uint64_t> pages) {
  std::string text;
  size_t named = 0;
  for (const uint64_t page : pages) {
    const uint64_t begin = BeginOf(part, page_bytes, page);
    if (named == kMostPagesNamed) {
      return text + ", ...";
    }
    const std::string symbols =
        SymbolsOf(part, begin, BeginOf(part, page_bytes, page + 1));
    text += fmt::format("{}+{:#x}", text.empty() ? "" : ", ", begin);
    if (part.symbols.empty()) {
      return text;
    }
    text += symbols.empty() ? "" : fmt::format(" ({})", symbols);
    ++named;
  }
  return text;
}

}  // namespace vmattest::baseline
