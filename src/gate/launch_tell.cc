// The part of LaunchGate that has decisions written to the ledger.
#include <utility>

#include "base/log.h"
#include "fmt/format.h"
#include "gate/launch_gate.h"

namespace vmattest::gate {

GateReply LaunchGate::Tell(const Launch& launch, const LaunchSession& session,
                           GateReply reply) {
  const std::string& operation = launch.call.operation;
  if (parts_.ledger == nullptr || launch.uuid.empty() ||
      IsAskedInVain(launch) || (reply.allowed && operation != "start")) {
    return reply;
  }
  const auto& reference = launch.policy.reference;
  const absl::Status told = parts_.ledger->Decided(
      {.vm_uuid = launch.uuid,
       .allowed = reply.allowed,
       .mode = std::string(reference::ToString(launch.policy.mode)),
       .basis = reply.basis,
       .code = reply.code,
       .config_root = session.config_root,
       .reference = reference ? fmt::format("{}@{}", reference->name,
                                            reference->revision)
                              : "",
       .ear = reply.ear},
      launch.deadline);
  if (told.ok()) {
    return reply;
  }
  if (!reply.allowed || launch.policy.mode != reference::GateMode::kEnforce ||
      session.break_glass) {
    log::Error("a decision is not on the ledger",
               {{"vm", launch.name}, {"why", told.ToString()}});
    return reply;
  }
  Judgement refused = DenyFor("gate-ledger", "telling the ledger", told);
  GateReply denied;
  denied.code = std::move(refused.code);
  denied.sentence = std::move(refused.sentence);
  denied.vm_uuid = launch.uuid;
  return denied;
}

}  // namespace vmattest::gate
