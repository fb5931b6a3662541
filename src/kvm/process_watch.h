#ifndef VMATTEST_KVM_PROCESS_WATCH_H_
#define VMATTEST_KVM_PROCESS_WATCH_H_

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

// VMs beside libvirt's system instance (rule S19).

namespace vmattest::kvm {

// A process is (pid, start time): pids are used again.
struct ProcessId {
  uint32_t pid = 0;
  uint64_t start_ticks = 0;  // proc(5), stat field 22
  friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
};

enum class Accelerator : uint8_t { kKvm, kTcg, kUnknown };
std::string_view ToString(Accelerator accelerator);  // "kvm"...

// A process that runs a virtual machine. `command` is what the process says
// about itself, cut and made printable: never to be believed.
struct VmProcess {
  ProcessId id;
  uint32_t uid = 0;
  Accelerator accelerator = Accelerator::kUnknown;
  std::string command;
  int64_t seen_unix_ms = 0;
};

// Who runs VMs that libvirt does not know. Callable from any thread.
class ProcessWatch {
 public:
  virtual ~ProcessWatch() = default;
  // As of the last look. Never blocks.
  [[nodiscard]] virtual std::vector<VmProcess> Unmanaged() const = 0;
  // OK while events and scans work; else what is blind.
  [[nodiscard]] virtual absl::Status Health() const = 0;
};

// Told each change once, from the watch's own thread: hand over and return.
struct ProcessWatchObserver {
  std::function<void(const VmProcess&)> appeared;
  std::function<void(const VmProcess&)> gone;
};

}  // namespace vmattest::kvm

#endif  // VMATTEST_KVM_PROCESS_WATCH_H_
