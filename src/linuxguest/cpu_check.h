#ifndef VMATTEST_LINUXGUEST_CPU_CHECK_H_
#define VMATTEST_LINUXGUEST_CPU_CHECK_H_

#include <span>

#include "linuxguest/address_names.h"
#include "linuxguest/finding.h"
#include "linuxguest/kernel.h"
#include "linuxguest/records.h"
#include "memory/vcpu_state.h"

namespace vmattest::linuxguest {

// Rule S21: registers must lead where the kernel's symbols say, and be what the
// kernel sets them to (Linux arch/x86/kernel/cpu/common.c, syscall_init):
//   IDTR, GDTR         idt_table, a gdt_page, with their limits
//   LSTAR, CSTAR, SYSENTER_CS, _ESP, _EIP    the entries, or none
//   STAR, FMASK        the kernel's segments; no flag of user mode enters
//   CR0, CR4, EFER     WP, what cr4_pinned_bits holds, SCE and NXE are on
//   DR0-3, DR7         no breakpoint in the kernel, no watch over them
// `records` has what was told, by names: "cpu/0/lstar" is "entry_SYSCALL_64".
// What changes from moment to moment is not in it: CR2, CR3, DR0-3, DR6, bits
// of CR0, CR4 and EFER. `absent` names what a vCPU did not tell, "cpu 0 lstar".
// Of a vCPU that still runs firmware (CR0.PG off) it says so; only its CR0 is a
// record, and nothing is judged.
struct CpuCheck {
  Findings findings;
  std::vector<Record> records;
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
