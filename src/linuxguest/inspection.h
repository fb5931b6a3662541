#ifndef VMATTEST_LINUXGUEST_INSPECTION_H_
#define VMATTEST_LINUXGUEST_INSPECTION_H_

#include <span>
#include <string>
#include <vector>

#include "linuxguest/records.h"
#include "memory/vcpu_state.h"

namespace vmattest::linuxguest {

// All that is known of a running kernel without a baseline.
struct Inspection {
  Modules modules;
  Processes processes;
  std::vector<Record> records;      // by name
  Findings findings;                // rules S21 and S22 among them
  std::vector<std::string> absent;  // registers that were not told
};

// Reads tables, modules, processes and code ranges of `kernel` and checks them
// against each other and against the registers. What the guest garbled is a
// finding; an error is the host's, or a limit.
absl::StatusOr<Inspection> InspectKernel(
    Kernel& kernel, std::span<const memory::VcpuState> cpus);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_INSPECTION_H_
