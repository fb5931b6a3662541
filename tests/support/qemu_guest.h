#ifndef VMATTEST_TESTS_SUPPORT_QEMU_GUEST_H_
#define VMATTEST_TESTS_SUPPORT_QEMU_GUEST_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/handles.h"
#include "memory/vcpu_state.h"
#include "support/guest_files.h"
#include "support/memfd_guest_memory.h"
#include "support/temp_dir.h"

namespace vmattest::testing {

// A QEMU of its own, without libvirt, that runs a small Linux (software
// emulation, 512 MiB, two processors) and does at its console what it is told:
// Debian 12's with page tables of four levels; 13's with five, and with page
// table isolation. Ends with the object.
class QemuGuest {
 public:
  // Where no such kernel is to be had: NOT_FOUND, and the test is skipped.
  static absl::StatusOr<std::unique_ptr<QemuGuest>> Boot(
      const GuestKernel& kernel);
  ~QemuGuest();
  QemuGuest(const QemuGuest&) = delete;
  QemuGuest& operator=(const QemuGuest&) = delete;

  // Runs a line of shell in the guest; its output.
  absl::StatusOr<std::string> Run(std::string_view line);
  // What QEMU's monitor answers.
  absl::StatusOr<std::string> Monitor(std::string_view command);
  // What QEMU tells of the registers; the system-call ones it does not.
  absl::StatusOr<std::vector<memory::VcpuState>> Vcpus();

  [[nodiscard]] MemfdGuestMemory& memory() { return *memory_; }
  [[nodiscard]] const std::string& kernel_file() const { return kernel_; }
  // Of a module by the name that the kernel has for it.
  [[nodiscard]] std::string module_file(std::string name) const;

 private:
  QemuGuest() = default;
  absl::Status Start(const std::string& folder, bool modern);
  absl::StatusOr<std::string> Await(std::string_view marker);

  TempDir dir_;
  std::string kernel_, modules_;
  pid_t pid_ = -1;
  UniqueFd to_console_, from_console_;
  std::string pending_;  // read from the console and not yet returned
  std::unique_ptr<MemfdGuestMemory> memory_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_QEMU_GUEST_H_
