#ifndef VMATTEST_LINUXGUEST_CODE_RANGES_H_
#define VMATTEST_LINUXGUEST_CODE_RANGES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "linuxguest/address_names.h"
#include "linuxguest/finding.h"

namespace vmattest::linuxguest {

// Where the kernel may run code, and whose it is: its text, modules' text, the
// packs and images of BPF, trampolines of ftrace, slots of kprobes, thunks
// against indirect target selection, the real mode trampoline.
struct CodeRange {
  uint64_t address = 0;
  uint64_t size = 0;
  std::string owner;
  // Where it must lie, if that is known beforehand.
  std::optional<uint64_t> physical;
  // Text of the kernel or of a module that has started: the kernel maps its
  // frames read-only wherever it maps them.
  bool sealed = false;
};

struct CodeRanges {
  std::vector<CodeRange> ranges;  // by address
  std::vector<std::string> problems;

  [[nodiscard]] const CodeRange* Holding(uint64_t address) const;
};
absl::StatusOr<CodeRanges> ReadCodeRanges(Kernel& kernel,
                                          const Modules& modules,
                                          const AddressNames& names);

// Rule S22: walks the kernel half of the page tables; every executable page
// must lie in such a range, be read-only, and at its frame; no other page may
// be a writable way to the frames of a sealed range.
absl::StatusOr<Findings> CheckExecutablePages(Kernel& kernel,
                                              const CodeRanges& ranges,
                                              const AddressNames& names);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_CODE_RANGES_H_
