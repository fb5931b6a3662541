#ifndef VMATTEST_GATE_HOOK_WATCH_H_
#define VMATTEST_GATE_HOOK_WATCH_H_

#include <filesystem>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "gate/launch_sessions.h"
#include "hypervisor/hypervisor.h"

namespace vmattest::gate {

// Whether libvirt really calls the hook. libvirtd looks for hook files only
// when it starts and on SIGHUP, and says nothing of one that it does not call.
// Callable from any thread.
class HookWatch {
 public:
  struct Options {
    std::filesystem::path hooks;    // /etc/libvirt/hooks
    std::filesystem::path program;  // the vmattest-hook that belongs there
    std::filesystem::path called;   // a file whose time is the last call's
    std::filesystem::path proc = "/proc";
  };
  HookWatch(const LaunchSessions& sessions, Options options)
      : sessions_(sessions), options_(std::move(options)) {}

  // The hook was called, for whatever.
  void NoteCall();
  // A domain started; the hook must have been called for it. True: it was.
  bool NoteStarted(const std::string& vm_uuid, const std::string& name)
      EXCLUDES_LOCK(mutex_);
  // OK: installed, as it should be, and called as far as can be told.
  // FAILED_PRECONDITION: what is wrong and what to do, in one sentence. Reads a
  // few files.
  [[nodiscard]] absl::Status Check() const EXCLUDES_LOCK(mutex_);

 private:
  [[nodiscard]] absl::Status CheckFile() const;
  [[nodiscard]] absl::Status CheckLibvirtd() const;
  [[nodiscard]] bool SameAsProgram(const std::filesystem::path& file) const
      EXCLUDES_LOCK(mutex_);

  const LaunchSessions& sessions_;
  const Options options_;
  mutable Mutex mutex_;
  std::string unasked_ GUARDED_BY(mutex_);  // a VM that started without us
  // Identities of the hook and the program when they were last found the same.
  mutable std::string same_ GUARDED_BY(mutex_);
};

// The hook's place below libvirt's folder of hooks.
std::filesystem::path HookFile(const std::filesystem::path& hooks);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_HOOK_WATCH_H_
