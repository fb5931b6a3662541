// The part of LaunchGate that knows strict VMs, which start only paused and
// through the daemon (StrictStart; rule S13).
#include <algorithm>

#include "fmt/format.h"
#include "gate/launch_gate.h"

namespace vmattest::gate {
namespace {

bool IsIncoming(const std::optional<QemuFacts>& qemu) {
  return qemu && std::find(qemu->arguments.begin(), qemu->arguments.end(),
                           "-incoming") != qemu->arguments.end();
}

}  // namespace

// What comes by migration runs elsewhere, and no start of ours is behind it;
// that it does come so shows at `started`.
std::optional<Judgement> LaunchGate::CheckStrict(
    const Launch& launch, const LaunchSession& session) const {
  const std::string& operation = launch.call.operation;
  if (!launch.policy.strict_start || operation == "migrate" ||
      operation == "start") {
    return std::nullopt;
  }
  bool passes = session.granted;
  if (operation == "restore") {
    passes = parts_.grants.Holds(launch.uuid);
  } else if (operation == "prepare") {
    passes = passes || session.incoming;
  } else {
    passes = passes || (session.incoming && IsIncoming(launch.call.qemu));
  }
  return passes ? std::nullopt
                : std::optional(Deny(
                      "gate-strict",
                      fmt::format("it may start only paused, to be looked at "
                                  "before it runs; start it with `vmattest "
                                  "start --vm {}`",
                                  launch.uuid)));
}

}  // namespace vmattest::gate
