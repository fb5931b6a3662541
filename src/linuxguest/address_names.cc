#include "linuxguest/address_names.h"

#include <fmt/format.h>

namespace vmattest::linuxguest {
namespace {

std::string WithOffset(std::string_view name, uint64_t offset) {
  return offset == 0 ? std::string(name)
                     : fmt::format("{}+0x{:x}", name, offset);
}

}  // namespace

absl::StatusOr<AddressNames> AddressNames::Make(const Kernel& kernel,
                                                const Modules& modules) {
  AddressNames names(kernel, modules);
  ASSIGN_OR_RETURN(names.text_, kernel.symbols().Require("_text"));
  ASSIGN_OR_RETURN(names.etext_, kernel.symbols().Require("_etext"));
  ASSIGN_OR_RETURN(names.end_, kernel.symbols().Require("_end"));
  if (names.text_ >= names.etext_ || names.etext_ > names.end_ ||
      names.end_ - names.text_ > (uint64_t{1} << 30)) {
    return absl::DataLossError("_text, _etext and _end do not rise");
  }
  return names;
}

const Module* AddressNames::ModuleAt(uint64_t address) const {
  for (const Module& module : modules_->modules) {
    if (module.Holding(address) != nullptr) {
      return &module;
    }
  }
  return nullptr;
}

std::string AddressNames::Describe(uint64_t address) const {
  if (address >= text_ && address < end_) {
    const std::optional<Symbol> symbol = symbols_->Covering(address);
    if (symbol && symbol->address >= text_) {
      return WithOffset(symbol->name, address - symbol->address);
    }
  }
  if (const Module* module = ModuleAt(address)) {
    const Part& part = *module->Holding(address);
    const std::optional<Symbol> symbol = module->symbols.Covering(address);
    if (symbol && symbol->address >= part.address) {
      return WithOffset(fmt::format("{}:{}", module->name, symbol->name),
                        address - symbol->address);
    }
    return WithOffset(
        fmt::format("{}:{}", module->name, ContentName(part.content)),
        address - part.address);
  }
  return fmt::format("0x{:x}", address);
}

}  // namespace vmattest::linuxguest
