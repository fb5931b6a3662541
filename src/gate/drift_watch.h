#ifndef VMATTEST_GATE_DRIFT_WATCH_H_
#define VMATTEST_GATE_DRIFT_WATCH_H_

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gate/file_leases.h"
#include "gate/launch_sessions.h"
#include "gate/live_check.h"
#include "hypervisor/hypervisor.h"
#include "image/content_digest.h"
#include "image/header_parser.h"

namespace vmattest::gate {

// Compares what runs with what was let in (rule S11): no hook is called for
// hot-plug, block jobs, media and link changes, and monitor commands. Of each
// VM that the gate let in: live XML; the files that QEMU has open; whether
// libvirt passed commands to its monitor; and leases that were broken. The
// first difference is told once and, where the VM's mode is enforce and `pause`
// is set, pauses the VM and takes its links down. A file that was written to
// and that QEMU has closed by now (a kernel) is only told. One thread.
class DriftWatch {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    image::ContentDigester& digester;
    image::HeaderParserFactory make_parser;
    LaunchSessions& sessions;
    FileLeases& leases;
    std::function<void(std::string kind,
                       std::map<std::string, std::string> facts)>
        note;
    // Where this daemon has QEMU keep scratch space.
    std::filesystem::path scratch;
  };
  DriftWatch(Parts parts, bool pause)
      : parts_(std::move(parts)),
        live_({parts_.hypervisor, parts_.digester, parts_.make_parser,
               parts_.scratch}),
        pause_(pause) {}

  // Of VMs that ran when this daemon began: holds their files again, and tells
  // of those that were written to meanwhile. May read them.
  void TakeUp();
  // Looks at all of them, on the caller's thread; blocks on the hypervisor.
  // Those that cannot be looked at are left for the next time. Returns those
  // that are as they were approved.
  std::vector<std::string> Look();
  // At this one, if it is one of them. True: it is as it was approved.
  bool LookAt(const std::string& vm_uuid);

 private:
  using Difference = LiveCheck::Difference;

  bool IsLeftPaused(const LaunchSession& session, const Uuid& uuid);
  bool IsAsMeasured(const std::string& path, const MeasuredFile& measured,
                    const FileIdentity& now);
  void LookAtFiles(const std::string& vm_uuid, const LaunchSession& session,
                   const std::vector<OpenFile>& files);
  void TellWritten(const std::string& vm_uuid, const LaunchSession& session,
                   const std::string& path, bool in_use);
  // False: it could not be paused, and is to be told the next time.
  bool Tell(const std::string& vm_uuid, const LaunchSession& session,
            const Difference& difference, bool may_pause);
  // What was done; empty if it cannot be paused.
  std::string Stop(const std::string& vm_uuid, const LaunchSession& session);
  bool Enforces(const LaunchSession& session) const;

  const Parts parts_;
  const LiveCheck live_;
  const bool pause_;
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_DRIFT_WATCH_H_
