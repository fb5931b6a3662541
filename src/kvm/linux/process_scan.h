#ifndef VMATTEST_KVM_LINUX_PROCESS_SCAN_H_
#define VMATTEST_KVM_LINUX_PROCESS_SCAN_H_

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "kvm/process_watch.h"

// Who runs virtual machines, from proc(5). Callable from any thread; blocks on
// the kernel for some microseconds a process.

namespace vmattest::kvm {

// Every process with an open "kvm-vm" file, and every other one whose program
// is a QEMU system emulator (TCG opens no such file). Those that end meanwhile
// are left out. A copy of QEMU under another name that does not use KVM is not
// found: such a VM cannot be told from any other program.
// FAILED_PRECONDITION: no proc file system at `proc`.
absl::StatusOr<std::vector<VmProcess>> ScanVmProcesses(
    const std::filesystem::path& proc);

// What a pid file of libvirt's says.
struct PidFile {
  uint32_t pid = 0;          // in libvirt's pid namespace
  int64_t written_unix = 0;  // seconds
  friend auto operator<=>(const PidFile&, const PidFile&) = default;
};

// The pid files of libvirt's run folder, which only root and libvirt may
// write. NOT_FOUND: no such folder (libvirt never ran). FAILED_PRECONDITION:
// others may write to it.
absl::StatusOr<std::vector<PidFile>> ReadPidFiles(
    const std::filesystem::path& run_dir);

// Those of `running` that are libvirt's domains. A process that is younger
// than the file that names it got a used pid: it is not the one. Where libvirt
// lives in another pid namespace than this process (in a container), its
// numbers are looked up there, and for none but processes of that namespace.
std::set<ProcessId> ManagedAmong(const std::vector<VmProcess>& running,
                                 const std::vector<PidFile>& pid_files,
                                 const std::filesystem::path& run_dir,
                                 const std::filesystem::path& proc);

// The emulator of libvirt's running domain `name`: the process that the
// domain's pid file names, and whose command line has `uuid`.
//   NOT_FOUND: the domain does not run. FAILED_PRECONDITION: as ReadPidFiles.
absl::StatusOr<ProcessId> FindDomainProcess(
    const std::string& name, const std::string& uuid,
    const std::filesystem::path& run_dir, const std::filesystem::path& proc);

// A name for this process that no other on this host has, also after it was
// booted anew; empty: the kernel does not tell.
std::string RunOf(const ProcessId& process, const std::filesystem::path& proc);

// Whether it still is that process.
bool IsRunning(const ProcessId& process, const std::filesystem::path& proc);

}  // namespace vmattest::kvm

#endif  // VMATTEST_KVM_LINUX_PROCESS_SCAN_H_
