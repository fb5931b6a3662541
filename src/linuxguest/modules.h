#ifndef VMATTEST_LINUXGUEST_MODULES_H_
#define VMATTEST_LINUXGUEST_MODULES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "linuxguest/kernel.h"

namespace vmattest::linuxguest {

enum class Content { kCode, kReadOnly, kReadOnlyAfterInit, kData };
std::string_view ContentName(Content content);

// A run of a module's or the kernel's virtual addresses with one use.
struct Part {
  Content content = Content::kData;
  uint64_t address = 0;
  uint64_t size = 0;
};

struct Module {
  uint64_t address = 0;  // of its struct module
  std::string name;
  bool live = false;   // not coming or going
  bool listed = true;  // in `modules`, where lsmod looks
  std::vector<Part> parts;
  Part init_text;  // while it starts; else of no size
  SymbolTable symbols;

  [[nodiscard]] const Part* Holding(uint64_t at) const;
};

struct Modules {
  std::vector<Module> modules;        // by name
  std::vector<std::string> problems;  // guest-structures-inconsistent
};

// Modules of the list `modules` and, unlisted, what only sysfs's `module_kset`
// still has: a module that hid itself from the list alone. Both layouts of
// struct module: core_layout (until 6.3) and mem[].
absl::StatusOr<Modules> ReadModules(Kernel& kernel);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_MODULES_H_
