#ifndef VMATTEST_MEMORY_VCPU_STATE_H_
#define VMATTEST_MEMORY_VCPU_STATE_H_

#include <array>
#include <cstdint>
#include <optional>

namespace vmattest::memory {

// The registers of one x86-64 vCPU that decide which code runs (S21), by their
// names in Intel's manual (SDM volume 3). What the hypervisor does not tell is
// absent, and is said to be so wherever the state is used.
struct VcpuState {
  struct Table {
    uint64_t base = 0;
    uint16_t limit = 0;
    friend bool operator==(const Table&, const Table&) = default;
  };
  std::optional<uint64_t> cr0, cr3, cr4, efer;
  std::optional<Table> idtr, gdtr;
  std::optional<std::array<uint64_t, 8>> dr;  // DR4 and DR5 are zero
  std::optional<uint64_t> star, lstar, cstar, fmask;
  std::optional<uint64_t> sysenter_cs, sysenter_esp, sysenter_eip;
  friend bool operator==(const VcpuState&, const VcpuState&) = default;
};

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_VCPU_STATE_H_
