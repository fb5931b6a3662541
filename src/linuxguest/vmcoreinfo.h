#ifndef VMATTEST_LINUXGUEST_VMCOREINFO_H_
#define VMATTEST_LINUXGUEST_VMCOREINFO_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "linuxguest/limits.h"
#include "memory/guest_memory.h"

namespace vmattest::linuxguest {

// The note that a kernel keeps about itself for crash dumps (Linux
// Documentation/admin-guide/kdump/vmcoreinfo.rst). Anybody in the guest can
// write one: nothing here is believed before the kernel that it describes
// agrees (kernel.h).
struct VmcoreInfo {
  uint64_t page = 0;  // physical address of the note
  std::string release;
  std::string build_id;        // lower-case hex
  uint64_t kernel_offset = 0;  // KASLR
  uint64_t phys_base = 0;      // may be negative: sums wrap
  bool five_levels = false;
  std::map<std::string, uint64_t, std::less<>> symbols;

  [[nodiscard]] std::optional<uint64_t> Symbol(std::string_view name) const;
  // Where the kernel's image maps `address` of its own.
  [[nodiscard]] uint64_t ImagePhysical(uint64_t address) const;
};

// The text of a note. DATA_LOSS: not what an x86-64 kernel of Linux 6.0 or
// later writes; names the line or what is missing.
absl::StatusOr<VmcoreInfo> ParseVmcoreInfo(std::string_view text);

// Every page of RAM that holds such a note, at most Limits::candidates, by
// address, and whether there were more. Reads all RAM once.
struct VmcoreInfoNotes {
  std::vector<VmcoreInfo> notes;
  std::vector<std::string> malformed;  // what begins like one, and why not
  bool more = false;
};
absl::StatusOr<VmcoreInfoNotes> FindVmcoreInfo(memory::GuestMemory& memory,
                                               const Limits& limits);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_VMCOREINFO_H_
