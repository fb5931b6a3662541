#ifndef VMATTEST_LINUXGUEST_SYSTEM_MAP_H_
#define VMATTEST_LINUXGUEST_SYSTEM_MAP_H_

#include <string_view>
#include <vector>

#include "linuxguest/finding.h"
#include "linuxguest/kernel.h"

namespace vmattest::linuxguest {

// The symbols of a kernel as its build wrote them: lines of "ADDRESS TYPE
// NAME", as linked (System.map, nm(1)).
class SystemMap {
 public:
  // `text` outlives it. INVALID_ARGUMENT names the line; RESOURCE_EXHAUSTED:
  // more than `limits` allow.
  static absl::StatusOr<SystemMap> Parse(std::string_view text,
                                         const Limits& limits);

  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] bool Has(uint64_t address, std::string_view name) const;
  // NOT_FOUND: none or several.
  [[nodiscard]] absl::StatusOr<uint64_t> Require(std::string_view name) const;

 private:
  struct Entry {
    std::string_view name;
    uint64_t address;
  };
  std::vector<Entry> entries_;  // by name, then address
};

// Each symbol that was decoded from the guest's memory, of its image, must be
// in `map`, moved by KASLR alone: `symbols-modified` names those that are not.
// What `map` has beside them does not matter: a kernel keeps a part.
absl::StatusOr<Findings> CheckSymbols(const Kernel& kernel,
                                      const SystemMap& map);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_SYSTEM_MAP_H_
