#include "linuxguest/processes.h"

#include <fmt/format.h>

#include <algorithm>

#include "linuxguest/list_walk.h"

namespace vmattest::linuxguest {
namespace {

constexpr size_t kCommBytes = 16;               // TASK_COMM_LEN
constexpr uint64_t kKernelThread = 0x00200000;  // PF_KTHREAD

absl::StatusOr<Process> ReadProcess(Kernel& kernel, uint64_t address) {
  Process process;
  process.address = address;
  const auto get = [&](const char* field) {
    return kernel.Get(address, "task_struct", field);
  };
  ASSIGN_OR_RETURN(const uint64_t pid, get("tgid"));
  process.pid = static_cast<int32_t>(pid);
  ASSIGN_OR_RETURN(const Field comm,
                   kernel.btf().Member("task_struct", "comm"));
  ASSIGN_OR_RETURN(process.comm,
                   kernel.reader().Text(address + comm.offset, kCommBytes));
  ASSIGN_OR_RETURN(const uint64_t parent, get("real_parent"));
  ASSIGN_OR_RETURN(const uint64_t parent_pid,
                   kernel.Get(parent, "task_struct", "tgid"));
  process.parent = static_cast<int32_t>(parent_pid);
  ASSIGN_OR_RETURN(const uint64_t flags, get("flags"));
  process.kernel_thread = (flags & kKernelThread) != 0;
  ASSIGN_OR_RETURN(process.start, get("start_time"));
  ASSIGN_OR_RETURN(process.mm, get("mm"));
  ASSIGN_OR_RETURN(const uint64_t cred, get("cred"));
  const auto id = [&](const char* field, uint32_t& out) -> absl::Status {
    ASSIGN_OR_RETURN(const uint64_t value, kernel.Get(cred, "cred", field));
    out = static_cast<uint32_t>(value);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(id("uid.val", process.uid));
  RETURN_IF_ERROR(id("euid.val", process.euid));
  RETURN_IF_ERROR(id("gid.val", process.gid));
  RETURN_IF_ERROR(id("egid.val", process.egid));
  ASSIGN_OR_RETURN(process.cap_effective,
                   kernel.Get(cred, "cred", "cap_effective"));
  ASSIGN_OR_RETURN(process.cap_permitted,
                   kernel.Get(cred, "cred", "cap_permitted"));
  return process;
}

}  // namespace

std::string Process::Canonical() const {
  std::string printable;
  for (const char c : comm) {
    printable += c > 0x20 && c < 0x7f && c != '%'
                     ? std::string(1, c)
                     : fmt::format("%{:02x}", static_cast<uint8_t>(c));
  }
  return fmt::format(
      "pid={} parent={} comm={} uid={} euid={} gid={} egid={} "
      "cap_effective={:x} cap_permitted={:x} kernel_thread={} start={}",
      pid, parent, printable, uid, euid, gid, egid, cap_effective,
      cap_permitted, kernel_thread ? 1 : 0, start);
}

absl::StatusOr<Processes> ReadProcesses(Kernel& kernel) {
  Processes out;
  ASSIGN_OR_RETURN(const uint64_t init, kernel.symbols().Require("init_task"));
  ASSIGN_OR_RETURN(const Field tasks,
                   kernel.btf().Member("task_struct", "tasks"));
  ASSIGN_OR_RETURN(ListEntries entries,
                   WalkList(kernel.reader(), init + tasks.offset,
                            kernel.reader().physical().limits().processes));
  if (!entries.problem.empty()) {
    out.problems.push_back("the list of tasks " + entries.problem);
  }
  entries.addresses.insert(entries.addresses.begin(), init + tasks.offset);
  for (const uint64_t at : entries.addresses) {
    absl::StatusOr<Process> process = ReadProcess(kernel, at - tasks.offset);
    if (process.ok()) {
      out.processes.push_back(*std::move(process));
    } else if (absl::IsNotFound(process.status()) ||
               absl::IsDataLoss(process.status())) {
      out.problems.push_back(
          fmt::format("the task at 0x{:x}: {}", at - tasks.offset,
                      std::string(process.status().message())));
    } else {
      return process.status();
    }
  }
  std::stable_sort(
      out.processes.begin(), out.processes.end(),
      [](const Process& a, const Process& b) { return a.pid < b.pid; });
  return out;
}

}  // namespace vmattest::linuxguest
