#ifndef VMATTEST_TESTS_SUPPORT_SMALL_KERNEL_H_
#define VMATTEST_TESTS_SUPPORT_SMALL_KERNEL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "fakes/array_guest_memory.h"
#include "memory/vcpu_state.h"

namespace vmattest::testing {

// The smallest memory in which linuxguest finds a kernel that satisfies all its
// checks: page tables, VMCOREINFO, kallsyms, BTF, one module, two processes. An
// image of one large page; a linear map of everything behind kLinear.
class SmallKernel {
 public:
  static constexpr uint64_t kSize = 4 << 20;
  static constexpr uint64_t kImage = 0xffffffff81000000;
  static constexpr uint64_t kImagePhysical = 0x200000;
  static constexpr uint64_t kLinear = 0xffff888000000000;
  static constexpr uint64_t kRoot = 0x3f0000;  // swapper_pg_dir, in the image
  static constexpr uint64_t kNote = 0x100000;
  static constexpr uint64_t kTask = 0x110000;    // pid 7; init_task: in image
  static constexpr uint64_t kModule = 0x120000;  // struct module
  static constexpr uint64_t kModuleCode = 0xffffffffc0000000;
  static constexpr uint64_t kModuleTables = 0x130000;
  static constexpr uint64_t kLinearTables = kRoot + 0x8000;
  static constexpr uint64_t kMapleNode = 0x140000;

  static constexpr uint64_t kPinned = 0x310800;  // UMIP, FSGSBASE, SMEP, SMAP

  // Offsets of members in the layouts that its BTF tells.
  static constexpr uint64_t kTasks = 16, kComm = 48, kStart = 64, kList = 8;

  SmallKernel();

  ArrayGuestMemory& memory() { return memory_; }
  // A processor as the kernel set it up.
  [[nodiscard]] static memory::VcpuState Vcpu();
  // Where the image has a symbol: its virtual and physical address.
  [[nodiscard]] static uint64_t Address(std::string_view symbol);
  [[nodiscard]] static uint64_t Physical(std::string_view symbol);
  // The text of VMCOREINFO, for another note.
  [[nodiscard]] static std::string Note();
  static void WriteNote(ArrayGuestMemory& memory, uint64_t page,
                        const std::string& text);

 private:
  void WriteTables();
  void WriteSymbols();
  void WriteBtf();
  void WriteModules();
  void WriteProcesses();
  void WriteCpuTables();

  ArrayGuestMemory memory_{kSize};
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_SMALL_KERNEL_H_
