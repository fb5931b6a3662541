#ifndef VMATTEST_GATE_STRICT_START_H_
#define VMATTEST_GATE_STRICT_START_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "gate/file_leases.h"
#include "gate/judgement.h"
#include "gate/launch_sessions.h"
#include "gate/live_check.h"
#include "gate/start_grants.h"
#include "hypervisor/hypervisor.h"
#include "image/content_digest.h"
#include "image/header_parser.h"

namespace vmattest::gate {

// Starts a VM so that nothing of it runs before everything was compared
// (rule S13, strict mode):
//
//   grant -> hypervisor starts it paused -> the hook asks the gate as always
//     -> live XML, taints; QEMU's command line, program and open files as this
//        daemon itself reads them; files and leases, once more
//     -> still paused?  then it goes on, else it is ended
//
// Not of the gate's threads, since the hypervisor's hook waits for those.
// Callable from any other thread, for several VMs at once; blocks as long as a
// start takes.
class StrictStart {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    image::ContentDigester& digester;
    image::HeaderParserFactory make_parser;
    LaunchSessions& sessions;
    FileLeases& leases;
    StartGrants& grants;
    // Takes an event for the host event log; must not block.
    std::function<void(std::string kind,
                       std::map<std::string, std::string> facts)>
        note;
    std::filesystem::path scratch;
    std::filesystem::path proc = "/proc";
  };
  explicit StrictStart(Parts parts)
      : parts_(std::move(parts)),
        live_({parts_.hypervisor, parts_.digester, parts_.make_parser,
               parts_.scratch}) {}

  struct Outcome {
    enum class State : uint8_t {
      kRunning,  // it goes on; with a code under `warn`, or by broken glass
      kRefused,  // the gate refused: nothing was started
      kEnded,    // it was started, and is not what was approved
      kPaused,   // the same, and kept for somebody to look at
    };
    State state = State::kRunning;
    std::string code;
    std::string sentence;
    std::string vm_uuid;
  };
  // `vm` is a name or UUID. A VM that such a start left paused is compared
  // again. An error: it could not be started for another reason than the
  // gate's, or cannot be compared; then it is not running, or paused.
  // NOT_FOUND. FAILED_PRECONDITION: it runs, or is being started, already.
  absl::StatusOr<Outcome> Start(const std::string& vm, bool keep_paused);

 private:
  absl::StatusOr<hypervisor::Domain> Find(const std::string& vm);
  // None: it waits, started by the hypervisor.
  absl::StatusOr<std::optional<Outcome>> Create(
      const hypervisor::Domain& domain);
  // The refusal, or nothing to object.
  std::optional<Judgement> Compare(const hypervisor::Domain& domain,
                                   const LaunchSession& session);
  std::optional<Judgement> CompareFiles(const LaunchSession& session,
                                        const std::string& vm_uuid);
  absl::StatusOr<Outcome> Conclude(const hypervisor::Domain& domain,
                                   const std::optional<Judgement>& refused,
                                   const LaunchSession& session,
                                   bool keep_paused);
  bool IsPaused(const Uuid& uuid);
  void Tell(const hypervisor::Domain& domain, const Judgement& refused,
            const std::string& action);

  const Parts parts_;
  const LiveCheck live_;
};

// "running", "refused", "ended", "paused".
std::string_view ToString(StrictStart::Outcome::State state);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_STRICT_START_H_
