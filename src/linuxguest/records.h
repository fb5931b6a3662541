#ifndef VMATTEST_LINUXGUEST_RECORDS_H_
#define VMATTEST_LINUXGUEST_RECORDS_H_

#include <string>
#include <vector>

#include "linuxguest/address_names.h"
#include "linuxguest/finding.h"
#include "linuxguest/processes.h"

namespace vmattest::linuxguest {

// One fact of a guest in words that a reboot of the same kernel does not
// change: addresses are names. A snapshot digests records one by one, so that
// a difference names the entry, the field, the process.
struct Record {
  std::string name;  // "syscall/62", "idt/14", "module/virtio", "process/1"
  std::string text;
  friend bool operator==(const Record&, const Record&) = default;
};

struct RecordSet {
  std::vector<Record> records;
  Findings findings;  // what is wrong without any baseline
};

// The entries of sys_call_table; one that does not begin a function of the
// kernel's text is `syscall-hooked`.
absl::StatusOr<RecordSet> ReadSyscallTable(Kernel& kernel,
                                           const AddressNames& names);

// The gates of idt_table (Intel SDM volume 3, section 7.14.1): handler, type,
// privilege, stack. Unused ones are left out. A handler outside the kernel's
// text is `interrupt-hooked`.
absl::StatusOr<RecordSet> ReadIdt(Kernel& kernel, const AddressNames& names);

// The descriptors of each processor's gdt_page, bases and per-boot parts left
// out: "gdt/cpu0/2".
absl::StatusOr<RecordSet> ReadGdt(Kernel& kernel);

// Modules with the sizes of their parts; unlisted ones are `module-hidden`.
RecordSet ModuleRecords(const Modules& modules);

// Programs that the kernel starts as root, as it would call them:
// modprobe_path, core_pattern, poweroff_cmd, uevent_helper.
absl::StatusOr<RecordSet> ReadHelpers(Kernel& kernel);

// What the kernel is and was told: "kernel/release", "kernel/build-id",
// "kernel/version" (the banner of its build) and "kernel/cmdline" (as
// /proc/cmdline shows it).
absl::StatusOr<RecordSet> ReadIdentity(Kernel& kernel);

RecordSet ProcessRecords(const Processes& processes);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_RECORDS_H_
