#include "gate/drift_watch.h"

#include <optional>
#include <utility>

#include "base/log.h"
#include "base/uuid.h"
#include "gate/baseline.h"
#include "measurement/live_xml.h"

namespace vmattest::gate {

void DriftWatch::Look() {
  for (const std::string& uuid : parts_.sessions.Running()) {
    if (const std::optional<LaunchSession> session =
            parts_.sessions.Find(uuid)) {
      LookAtVm(uuid, *session);
    }
  }
}

void DriftWatch::LookAtVm(const std::string& vm_uuid,
                          const LaunchSession& session) {
  const absl::StatusOr<Uuid> uuid = ParseUuid(vm_uuid);
  const absl::StatusOr<hypervisor::DomainXml> xml =
      uuid.ok() ? parts_.hypervisor.GetXml(*uuid) : uuid.status();
  if (!xml.ok() || !xml->live) {
    return;
  }
  const absl::StatusOr<std::string> defined =
      measurement::AsDefined(xml->xml, session.prepare_xml);
  const absl::StatusOr<std::vector<ConfigLeaf>> now =
      defined.ok() ? BaselineOf(*defined, parts_.digester, parts_.make_parser)
                   : defined.status();
  if (!now.ok()) {
    Tell(vm_uuid, session, std::string(now.status().message()));
    return;
  }
  if (const std::string leaf = FirstDifference(session.baseline, *now);
      !leaf.empty()) {
    Tell(vm_uuid, session, leaf);
  }
}

void DriftWatch::Tell(const std::string& vm_uuid, const LaunchSession& session,
                      const std::string& leaf) {
  const bool pause = pause_ && session.mode == reference::GateMode::kEnforce &&
                     !session.break_glass;
  absl::Status paused = absl::OkStatus();
  if (const absl::StatusOr<Uuid> uuid = ParseUuid(vm_uuid);
      pause && uuid.ok()) {
    paused = parts_.hypervisor.Suspend(*uuid);
    if (!paused.ok()) {
      log::Error("a VM that drifted cannot be paused",
                 {{"vm", session.vm_name}, {"why", paused.ToString()}});
      return;  // and try again
    }
  }
  parts_.sessions.MarkDrifted(vm_uuid);
  log::Error("a running VM is not what was approved",
             {{"vm", session.vm_name},
              {"uuid", vm_uuid},
              {"leaf", leaf},
              {"action", pause ? "paused" : "alert"}});
  parts_.note("gate-drift", {{"vm_uuid", vm_uuid},
                             {"vm_name", session.vm_name.substr(0, 512)},
                             {"leaf", leaf.substr(0, 512)},
                             {"action", pause ? "paused" : "alert"}});
}

}  // namespace vmattest::gate
