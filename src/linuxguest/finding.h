#ifndef VMATTEST_LINUXGUEST_FINDING_H_
#define VMATTEST_LINUXGUEST_FINDING_H_

#include <string>
#include <string_view>
#include <vector>

namespace vmattest::linuxguest {

enum class Severity { kInfo, kLow, kMedium, kHigh, kCritical };
std::string_view SeverityName(Severity severity);

// Something in a guest that no healthy kernel shows. The code is stable:
//   guest-structures-inconsistent  structures contradict themselves
//   module-hidden                  runs, and lsmod does not show it
//   syscall-hooked                 a system call leads elsewhere
//   interrupt-hooked               a gate leads elsewhere
//   cpu-table, cpu-entry           a register leads elsewhere (rule S21)
//   cpu-protection-off             a protection is off (S21)
//   cpu-breakpoint                 the kernel is watched (S21)
//   page-tables-differ             kernel halves disagree (S21)
//   code-unknown                   executable, and belongs to nothing (S22)
//   code-writable                  executable and writable (S22)
//   code-elsewhere                 executable, at a foreign frame (S22)
//   code-aliased                   text, and writable elsewhere (S22)
//   code-modified                  text is not the kernel image's
//   symbols-modified               nor are the symbol tables
//   rodata-modified                nor are the constants
//   process-code-modified, process-code-writable    (process_code.h)
struct Finding {
  std::string code;
  Severity severity = Severity::kInfo;
  std::string element;  // what, by name
  std::string expected;
  std::string found;
};
using Findings = std::vector<Finding>;

// Those of `second` that `first` has too. What the kernel has in hand at one
// moment (a list half linked, initialisation code not yet given back) is gone
// at a second look a second later; what stands is in both.
Findings Persisting(const Findings& first, const Findings& second);

Finding Inconsistent(std::string element, std::string problem);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_FINDING_H_
