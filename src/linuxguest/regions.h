#ifndef VMATTEST_LINUXGUEST_REGIONS_H_
#define VMATTEST_LINUXGUEST_REGIONS_H_

#include <span>
#include <string>
#include <vector>

#include "linuxguest/modules.h"
#include "linuxguest/processes.h"

namespace vmattest::linuxguest {

// What a policy may select of a Linux guest's bytes.
struct Selector {
  enum class Kind {
    kKernelText,
    kKernelRodata,  // tables of constants, ro_after_init among them
    kIdt,
    kGdt,
    kSyscallTable,
    kModules,            // text and rodata; `pattern`: names of modules
    kSymbols,            // `pattern`: names of symbols, each up to the next
    kProcessExecutable,  // executable mappings; `pattern`: the program's path
    kProcessAnonymous,   // executable mappings of no file; the same
  };
  Kind kind = Kind::kKernelText;
  std::string pattern = "*";  // glob
};

// Bytes that lie together in physical memory.
struct Run {
  uint64_t address = 0;  // virtual
  uint64_t physical = 0;
  uint64_t size = 0;
  friend bool operator==(const Run&, const Run&) = default;
};

// Selected bytes with a name that a reboot does not change:
//   kernel/text, kernel/rodata, idt, gdt/cpu0, syscall_table,
//   module/virtio/text, symbol/modprobe_path,
//   process/1/bin/busybox/401000
struct Region {
  std::string name;
  Content content = Content::kData;
  uint64_t address = 0;
  uint64_t size = 0;
  std::vector<Run> runs;  // by address; what is not there is in none
  uint64_t absent = 0;    // bytes: never touched, swapped out, given back
};

struct Resolution {
  std::vector<Region> regions;  // in the selectors' order, then by address
  std::vector<std::string> unresolved;  // selectors without effect, and why
  std::vector<std::string> problems;    // guest-structures-inconsistent
};

// Deterministic: the same guest and selectors, the same regions in one order.
absl::StatusOr<Resolution> ResolveSelectors(Kernel& kernel,
                                            const Modules& modules,
                                            const Processes& processes,
                                            std::span<const Selector> wanted);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_REGIONS_H_
