#ifndef VMATTEST_GATE_DRIFT_WATCH_H_
#define VMATTEST_GATE_DRIFT_WATCH_H_

#include <functional>
#include <map>
#include <string>

#include "gate/launch_sessions.h"
#include "hypervisor/hypervisor.h"
#include "image/content_digest.h"
#include "image/header_parser.h"

namespace vmattest::gate {

// Compares what runs with what was let in (rule S11): no hook is called for
// hot-plug, block jobs, media and link changes. Of each VM that the gate let
// in, live XML and what it was approved with; the first difference pauses the
// VM, where its mode is enforce and `pause` is set, and is told once.
class DriftWatch {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    image::ContentDigester& digester;
    image::HeaderParserFactory make_parser;
    LaunchSessions& sessions;
    std::function<void(std::string kind,
                       std::map<std::string, std::string> facts)>
        note;
  };
  DriftWatch(Parts parts, bool pause)
      : parts_(std::move(parts)), pause_(pause) {}

  // Looks at all of them, on the caller's thread; blocks on the hypervisor.
  // Those that cannot be looked at are left for the next time.
  void Look();

 private:
  void LookAtVm(const std::string& vm_uuid, const LaunchSession& session);
  void Tell(const std::string& vm_uuid, const LaunchSession& session,
            const std::string& leaf);

  const Parts parts_;
  const bool pause_;
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_DRIFT_WATCH_H_
