#ifndef VMATTEST_MEMORY_LINUX_PROCESS_RAM_H_
#define VMATTEST_MEMORY_LINUX_PROCESS_RAM_H_

#include <chrono>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kvm/process_watch.h"
#include "memory/linux/ram_block.h"

// The RAM of a VM in its hypervisor's process, from proc(5). Blocks on the
// kernel for milliseconds. Needs the rights of ptrace(2) over that process. Any
// thread.

namespace vmattest::memory {

// A line of /proc/PID/maps.
struct ProcessMapping {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool readable = false;
  bool writable = false;
  bool shared = false;
  uint64_t offset = 0;
  std::string device;  // "00:01"
  uint64_t inode = 0;  // 0: anonymous
  std::string path;
};
// Lines that are none are left out. Pure.
std::vector<ProcessMapping> ParseMappings(std::string_view text);

// All mappings of `process` that can be read and written and have one of
// `sizes`, in the order of their addresses, opened.
//   UNAVAILABLE: it is gone. PERMISSION_DENIED.
absl::StatusOr<std::vector<RamSource>> OpenRam(
    const kvm::ProcessId& process, const std::vector<uint64_t>& sizes,
    const std::filesystem::path& proc = "/proc");

// Memory that a process had when it was opened.
struct MappedRam {
  AddressRange range;  // of the process's own addresses
  uint64_t inode = 0;
};

// The first of `blocks` of which the process has no longer all; none: it has
// them. A file that is mapped no longer can still be read, and what was mapped
// anonymously reads as if it had never been used.
//   UNAVAILABLE: it ended, or is ending: it has no memory at all.
absl::StatusOr<std::optional<size_t>> FirstUnmapped(
    const kvm::ProcessId& process, const std::vector<MappedRam>& blocks,
    const std::filesystem::path& proc = "/proc");

// A file, however it is reached.
struct FileId {
  uint64_t device = 0;  // as stat(2)
  uint64_t inode = 0;
  friend auto operator<=>(const FileId&, const FileId&) = default;
};

// The files that are the memory of `blocks`; of anonymous memory there is none.
std::set<FileId> FilesOf(const std::vector<RamSource>& blocks);

// How long a look at all processes may take: enough for 60,000, or for few on a
// host that has no time. The guest runs meanwhile.
inline constexpr std::chrono::milliseconds kLookAtProcesses{2000};

// Other processes that have one of `files` open or mapped, by pid: they may
// write to the guest's memory while its vCPUs are paused (rule S23:
// vhost-user). Not those that this process started: they are its workers. If
// there are more processes than can be looked at in `limit`, the last one says
// so. Some 30 microseconds a process.
std::vector<std::string> OtherMappers(
    const kvm::ProcessId& process, const std::set<FileId>& files,
    const std::filesystem::path& proc = "/proc",
    std::chrono::milliseconds limit = kLookAtProcesses);

// Files of the process that let devices write to its memory by themselves,
// whatever its vCPUs do (VFIO), as they are named. Empty: none.
std::vector<std::string> DeviceAccess(
    const kvm::ProcessId& process, const std::filesystem::path& proc = "/proc");

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_LINUX_PROCESS_RAM_H_
