#ifndef VMATTEST_GATE_PROTOCOL_PROCESS_FACTS_H_
#define VMATTEST_GATE_PROTOCOL_PROCESS_FACTS_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "gate/protocol/messages.h"

// What /proc shows of a process, to the hook beside libvirtd and to the daemon.
// Names and paths may be hostile; sizes are bounded. Any thread.

namespace vmattest::gate {

// A process and no other, also after its pid was given to the next.
struct ProcessKey {
  int64_t pid = 0;           // in the pid namespace of who looks; 0: none
  uint64_t start_ticks = 0;  // proc(5), stat field 22: since boot
  friend bool operator==(const ProcessKey&, const ProcessKey&) = default;
};

// A whole file of /proc or /run, which say nothing of their size beforehand.
// RESOURCE_EXHAUSTED: more than `most` bytes.
absl::StatusOr<std::string> ReadUnsized(const std::filesystem::path& path,
                                        size_t most);

// NOT_FOUND: no such process. `process` is /proc/PID.
absl::StatusOr<uint64_t> StartTicks(const std::filesystem::path& process);

// Open regular files and block devices. Needs the rights of ptrace(2).
absl::StatusOr<std::vector<OpenFile>> ReadOpenFiles(
    const std::filesystem::path& process);

// All of it, `pid` as the caller names it. Errors as the kernel says.
absl::StatusOr<QemuFacts> ReadQemuFacts(const std::filesystem::path& process,
                                        int64_t pid);

// Whether it still runs.
bool IsAlive(const ProcessKey& process,
             const std::filesystem::path& proc = "/proc");

// The process that somebody in a pid namespace below ours (or in ours) sees as
// `process`; none if it is gone or cannot be seen from here. Reads all of
// /proc.
std::optional<ProcessKey> FindProcess(
    const ProcessKey& process, const std::filesystem::path& proc = "/proc");

// The process behind a pidfd (pidfd_open(2)), whatever its pid where that was
// opened; none if it is gone, cannot be seen from here, or is no pidfd.
std::optional<ProcessKey> ProcessBehind(
    int pidfd, const std::filesystem::path& proc = "/proc");

// Of this boot; empty if the kernel does not say.
std::string BootId();

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_PROTOCOL_PROCESS_FACTS_H_
