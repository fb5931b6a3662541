#ifndef VMATTEST_LINUXGUEST_PROCESSES_H_
#define VMATTEST_LINUXGUEST_PROCESSES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "linuxguest/kernel.h"

namespace vmattest::linuxguest {

// What a process control block (struct task_struct) says; ids as the initial
// namespaces have them.
struct Process {
  uint64_t address = 0;
  int32_t pid = 0;
  int32_t parent = 0;
  std::string comm;
  uint32_t uid = 0, euid = 0, gid = 0, egid = 0;
  uint64_t cap_effective = 0, cap_permitted = 0;
  bool kernel_thread = false;
  uint64_t start = 0;  // ns of the boot: with the pid, it names one process
  uint64_t mm = 0;     // struct mm_struct; 0: none

  // One line, the same for the same fields: what a snapshot digests and a
  // difference shows.
  [[nodiscard]] std::string Canonical() const;
};

struct Processes {
  std::vector<Process> processes;  // by pid; pid 0 is the idle task
  std::vector<std::string> problems;
};

// The list that begins with init_task: thread groups, not threads.
absl::StatusOr<Processes> ReadProcesses(Kernel& kernel);

// A run of a process's addresses (struct vm_area_struct).
struct ProcessMapping {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool readable = false, writable = false, executable = false, shared = false;
  std::string file;  // path up to its file system's root; empty: anonymous
  uint64_t file_page = 0;  // of `begin` in the file
};

struct AddressSpace {
  Paging paging;
  std::string executable;                // path as above
  std::vector<ProcessMapping> mappings;  // by address
  std::vector<std::string> problems;
};

// NOT_FOUND: a kernel thread, or it has just ended.
absl::StatusOr<AddressSpace> ReadAddressSpace(Kernel& kernel,
                                              const Process& process);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_PROCESSES_H_
