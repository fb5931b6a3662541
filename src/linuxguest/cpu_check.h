#ifndef VMATTEST_LINUXGUEST_CPU_CHECK_H_
#define VMATTEST_LINUXGUEST_CPU_CHECK_H_

#include <span>

#include "linuxguest/address_names.h"
#include "linuxguest/finding.h"
#include "linuxguest/kernel.h"
#include "linuxguest/processes.h"
#include "memory/vcpu_state.h"

namespace vmattest::linuxguest {

// Rule S21: registers must lead where the kernel's symbols say: IDTR to
// idt_table, GDTR to a gdt_page, LSTAR, CSTAR and SYSENTER_EIP to the entries;
// CR0.WP and what cr4_pinned_bits holds must be on. `absent` names what a vCPU
// did not tell, "cpu 0 lstar". A vCPU that still runs firmware (CR0.PG off) is
// said to, and not judged.
struct CpuCheck {
  Findings findings;
  std::vector<std::string> absent;
};
absl::StatusOr<CpuCheck> CheckCpus(Kernel& kernel, const Modules& modules,
                                   std::span<const memory::VcpuState> cpus);

// The kernel half of every page-table root, of vCPUs and of processes, must be
// that of swapper_pg_dir, but for the slot of a process's own LDT. A root of
// user mode under page table isolation is its kernel root with bit 12 set.
absl::StatusOr<Findings> CheckKernelHalves(
    Kernel& kernel, std::span<const memory::VcpuState> cpus,
    std::span<const Process> processes);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_CPU_CHECK_H_
