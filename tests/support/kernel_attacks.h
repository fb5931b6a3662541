#ifndef VMATTEST_TESTS_SUPPORT_KERNEL_ATTACKS_H_
#define VMATTEST_TESTS_SUPPORT_KERNEL_ATTACKS_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "linuxguest/inspection.h"
#include "linuxguest/kernel.h"
#include "support/memfd_guest_memory.h"

// What somebody who got into a guest's kernel does to it, as writes to its RAM
// from outside: the same bytes, without the way in. Each undoes itself.

namespace vmattest::testing {

class KernelAttack {
 public:
  explicit KernelAttack(MemfdGuestMemory& memory) : memory_(memory) {}
  KernelAttack(const KernelAttack&) = delete;
  KernelAttack& operator=(const KernelAttack&) = delete;
  ~KernelAttack();

  // At a virtual address of the kernel; at a physical one.
  void Write(linuxguest::Kernel& kernel, uint64_t address, const Bytes& bytes);
  void WritePhysical(uint64_t address, const Bytes& bytes);

 private:
  struct Before {
    uint64_t physical;
    Bytes bytes;
  };
  MemfdGuestMemory& memory_;
  std::vector<Before> before_;
};

// 8 bytes, least significant first.
Bytes Word(uint64_t value);

// One look at the guest, with what is known of its registers; fails the test if
// it is no Linux.
class KernelView {
 public:
  explicit KernelView(MemfdGuestMemory& memory,
                      std::span<const memory::VcpuState> cpus = {});
  linuxguest::Kernel& kernel() { return *kernel_; }
  [[nodiscard]] uint64_t Symbol(std::string_view name);
  [[nodiscard]] const linuxguest::Module& Module(std::string_view name);
  [[nodiscard]] const linuxguest::Process& Task(int32_t pid);
  linuxguest::Inspection inspection;

 private:
  linuxguest::PhysicalReader reader_;
  std::unique_ptr<linuxguest::Kernel> kernel_;
};

// sys_call_table[number] leads into a module.
void HookSystemCall(KernelAttack& attack, KernelView& view, uint64_t number);
// The gate of `vector` does.
void HookInterrupt(KernelAttack& attack, KernelView& view, uint64_t vector);
// A module leaves the list that lsmod reads.
void HideModule(KernelAttack& attack, KernelView& view, std::string_view name);
// A function begins, or has at `offset`, a jump into a module.
void PatchFunction(KernelAttack& attack, KernelView& view,
                   std::string_view name, uint64_t offset = 0);
// The first byte of a function of a module is another.
void PatchModule(KernelAttack& attack, KernelView& view,
                 std::string_view module, std::string_view function);
// A process leaves the list of tasks, and runs on.
void HideTask(KernelAttack& attack, KernelView& view, int32_t pid);
// The first data page of a module may be run, and one pointer among the
// kernel's data (pm_power_off) leads there.
void MakeDataExecutable(KernelAttack& attack, KernelView& view);
// The linear map's page of the frame behind `address`, which the kernel keeps
// read-only, may be written. Returns where in the linear map that is.
uint64_t MakeAliasWritable(KernelAttack& attack, KernelView& view,
                           uint64_t address);
// A process has root's ids.
void MakeRoot(KernelAttack& attack, KernelView& view, int32_t pid);

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_KERNEL_ATTACKS_H_
