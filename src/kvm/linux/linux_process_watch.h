#ifndef VMATTEST_KVM_LINUX_LINUX_PROCESS_WATCH_H_
#define VMATTEST_KVM_LINUX_LINUX_PROCESS_WATCH_H_

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "base/handles.h"
#include "base/mutex.h"
#include "kvm/linux/process_scan.h"
#include "kvm/linux/uevent_socket.h"
#include "kvm/process_watch.h"

namespace vmattest::kvm {

// Looks at every VM process of the machine when the kernel announces a KVM VM,
// and every few seconds, for those that it does not announce (TCG) and those
// whose announcement was lost. The event's own pid is not used: it is that of
// the first pid namespace, and the event may be another's.
//
// A process counts as unmanaged once it was there for `grace` without being
// one of libvirt's domains: libvirt itself runs emulators for a moment to ask
// for their capabilities. Owns the thread `kvm-watch`.
class LinuxProcessWatch final : public ProcessWatch {
 public:
  struct Options {
    std::filesystem::path libvirt_run_dir = "/run/libvirt/qemu";
    std::filesystem::path proc = "/proc";
    std::chrono::milliseconds interval{5'000};
    std::chrono::milliseconds grace{2'000};
  };
  LinuxProcessWatch(Options options, ProcessWatchObserver observer);
  LinuxProcessWatch(const LinuxProcessWatch&) = delete;
  LinuxProcessWatch& operator=(const LinuxProcessWatch&) = delete;
  ~LinuxProcessWatch() override;

  [[nodiscard]] std::vector<VmProcess> Unmanaged() const override;
  [[nodiscard]] absl::Status Health() const override;

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Seen {
    VmProcess process;
    TimePoint since;
    bool reported = false;
  };

  void Run();
  // Until a KVM event, a stop, or `until`. False: stop.
  bool Wait(TimePoint until);
  void Drain();
  void Look();
  std::set<ProcessId> Managed(const std::vector<VmProcess>& running,
                              const std::vector<PidFile>& pid_files);
  // What runs and is not managed, with what was known of it.
  [[nodiscard]] std::map<ProcessId, Seen> WhatIsSeen(
      const std::vector<VmProcess>& running, const std::set<ProcessId>& managed,
      TimePoint now) const;
  // The observer, of what changed since `before`.
  void Tell(const std::map<ProcessId, Seen>& before) const;
  // When the next process will have been there for the grace.
  [[nodiscard]] TimePoint NextLook(TimePoint now) const;
  void Publish(const absl::Status& health);

  const Options options_;
  const ProcessWatchObserver observer_;
  const absl::StatusOr<UniqueFd> stop_;
  std::optional<UeventSocket> events_;  // `kvm-watch` only, as the next two
  absl::Status events_health_;
  std::map<ProcessId, Seen> seen_;
  std::set<ProcessId> managed_;  // as of `pid_files_`
  std::vector<PidFile> pid_files_;
  mutable Mutex mutex_;
  std::vector<VmProcess> unmanaged_ GUARDED_BY(mutex_);
  absl::Status health_ GUARDED_BY(mutex_);
  std::thread thread_;  // last
};

}  // namespace vmattest::kvm

#endif  // VMATTEST_KVM_LINUX_LINUX_PROCESS_WATCH_H_
