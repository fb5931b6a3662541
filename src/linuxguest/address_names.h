#ifndef VMATTEST_LINUXGUEST_ADDRESS_NAMES_H_
#define VMATTEST_LINUXGUEST_ADDRESS_NAMES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "linuxguest/kernel.h"
#include "linuxguest/modules.h"

namespace vmattest::linuxguest {

// Names for the kernel's addresses, the same in every boot of one kernel. Reads
// no memory; keeps references to both arguments.
class AddressNames {
 public:
  // NOT_FOUND: the kernel lacks the symbols that bound its image.
  static absl::StatusOr<AddressNames> Make(const Kernel& kernel,
                                           const Modules& modules);

  // "symbol", "symbol+0x10", "module:symbol+0x10", "module:text+0x40" where the
  // module has no symbol, else "0x...".
  [[nodiscard]] std::string Describe(uint64_t address) const;

  // The module that has `address` in one of its parts; null: none.
  [[nodiscard]] const Module* ModuleAt(uint64_t address) const;
  [[nodiscard]] bool InKernelText(uint64_t address) const {
    return address >= text_ && address < etext_;
  }
  [[nodiscard]] uint64_t text_begin() const { return text_; }
  [[nodiscard]] uint64_t text_end() const { return etext_; }

 private:
  AddressNames(const Kernel& kernel, const Modules& modules)
      : symbols_(&kernel.symbols()), modules_(&modules) {}

  const SymbolTable* symbols_;
  const Modules* modules_;
  uint64_t text_ = 0, etext_ = 0, end_ = 0;
};

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_ADDRESS_NAMES_H_
