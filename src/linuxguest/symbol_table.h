#ifndef VMATTEST_LINUXGUEST_SYMBOL_TABLE_H_
#define VMATTEST_LINUXGUEST_SYMBOL_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "linuxguest/limits.h"

namespace vmattest::linuxguest {

struct Symbol {
  uint64_t address = 0;
  std::string_view name;  // in the table, and as long as it
  char type = '?';        // as nm(1) prints it
};

// Names of addresses. Names may repeat; addresses too.
class SymbolTable {
 public:
  // RESOURCE_EXHAUSTED: more than `limits` allow. Names are cut at nothing.
  absl::Status Add(uint64_t address, char type, std::string_view name,
                   const Limits& limits);
  // Once, after the last Add and before the first question.
  void Sort();

  [[nodiscard]] size_t size() const { return entries_.size(); }
  // By address.
  [[nodiscard]] Symbol at(size_t index) const;

  // The only symbol of that name; absent if there is none or are several.
  [[nodiscard]] std::optional<uint64_t> Address(std::string_view name) const;
  // The same among those that nm prints in upper case: what code elsewhere
  // can be linked with.
  [[nodiscard]] std::optional<uint64_t> GlobalAddress(
      std::string_view name) const;
  // NOT_FOUND: none or several.
  [[nodiscard]] absl::StatusOr<uint64_t> Require(std::string_view name) const;
  // The last symbol at or below; of several there, the first global one.
  [[nodiscard]] std::optional<Symbol> Covering(uint64_t address) const;
  // The first address above `address` that has a symbol.
  [[nodiscard]] std::optional<uint64_t> Next(uint64_t address) const;
  // By address. `*` is any run of characters, `?` any one.
  [[nodiscard]] std::vector<Symbol> Matching(std::string_view glob) const;

 private:
  struct Entry {
    uint64_t address;
    uint32_t begin;
    uint16_t size;
    char type;
  };
  [[nodiscard]] std::string_view NameOf(const Entry& entry) const;
  [[nodiscard]] std::vector<Symbol> Named(std::string_view name) const;

  std::string names_;
  std::vector<Entry> entries_;     // by address
  std::vector<uint32_t> by_name_;  // indices of entries_
};

bool GlobMatches(std::string_view glob, std::string_view text);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_SYMBOL_TABLE_H_
