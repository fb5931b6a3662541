#include "gate/drift_watch.h"

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "base/uuid.h"
#include "gate/running_view.h"

namespace vmattest::gate {
namespace {

constexpr size_t kMaxFact = 512;

}  // namespace

void DriftWatch::TakeUp() {
  for (const std::string& uuid : parts_.sessions.Running()) {
    const std::optional<LaunchSession> session = parts_.sessions.Find(uuid);
    if (!session) {
      continue;
    }
    for (const auto& [path, input] : session->inputs) {
      parts_.leases.Take(uuid, {path});
      const auto seen = parts_.leases.Renew(uuid, path);
      if (!seen || seen->now.device != input.identity.device ||
          seen->now.inode != input.identity.inode) {
        parts_.leases.Drop(uuid, path);
        continue;  // another file of that name: not what QEMU read
      }
      if (!IsAsMeasured(path, input, seen->now)) {
        parts_.leases.Drop(uuid, path);
        TellWritten(uuid, *session, path,
                    session->open_files.contains(
                        {input.identity.device, input.identity.inode}));
      }
    }
  }
}

// Owners, labels and names may change; then the content tells.
bool DriftWatch::IsAsMeasured(const std::string& path,
                              const MeasuredFile& measured,
                              const FileIdentity& now) {
  if (now == measured.identity) {
    return true;
  }
  if (WasWritten(measured.identity, now)) {
    return false;
  }
  const absl::StatusOr<FileIdentity> named = gate::LookAt(path);
  if (!named.ok() || named->inode != now.inode || named->device != now.device) {
    return true;  // only its name is gone
  }
  const absl::StatusOr<image::ContentDigest> content =
      parts_.digester.Digest({.path = path,
                              .algorithm = measured.algorithm,
                              .fresh = false,
                              .progress = {},
                              .cancelled = {}});
  return content.ok() && content->digest == measured.digest;
}

std::vector<std::string> DriftWatch::Look() {
  std::vector<std::string> as_approved;
  for (const std::string& uuid : parts_.sessions.Running()) {
    if (LookAt(uuid)) {
      as_approved.push_back(uuid);
    }
  }
  return as_approved;
}

bool DriftWatch::LookAt(const std::string& vm_uuid) {
  std::optional<LaunchSession> session = parts_.sessions.Find(vm_uuid);
  const absl::StatusOr<Uuid> uuid = ParseUuid(vm_uuid);
  if (!session || !session->running || session->drifted || !uuid.ok()) {
    return false;
  }
  if (IsLeftPaused(*session, *uuid)) {
    return false;
  }
  const std::vector<OpenFile> files = LiveCheck::FilesOf(*session);
  LookAtFiles(vm_uuid, *session, files);
  session = parts_.sessions.Find(vm_uuid);
  if (!session || session->drifted) {
    return false;
  }
  const absl::StatusOr<hypervisor::DomainXml> xml =
      parts_.hypervisor.GetXml(*uuid);
  if (!xml.ok() || !xml->live) {
    return false;
  }
  const absl::StatusOr<Difference> difference =
      session->granted && !session->checked
          ? Difference{"strict-start", "it runs and was not looked at"}
          : live_.First(*session, *uuid, xml->xml, files);
  if (difference.ok() && !difference->what.empty() &&
      Tell(vm_uuid, *session, *difference, /*may_pause=*/true)) {
    parts_.sessions.MarkDrifted(vm_uuid);
  }
  return difference.ok() && difference->what.empty();
}

// A VM that this daemon started paused and had no time to look at.
bool DriftWatch::IsLeftPaused(const LaunchSession& session, const Uuid& uuid) {
  if (!session.granted || session.checked) {
    return false;
  }
  const absl::StatusOr<hypervisor::Domain> domain =
      parts_.hypervisor.FindDomain(uuid);
  return !domain.ok() || domain->state == hypervisor::DomainState::kPaused;
}

void DriftWatch::LookAtFiles(const std::string& vm_uuid,
                             const LaunchSession& session,
                             const std::vector<OpenFile>& files) {
  for (const std::string& path : parts_.leases.Broken(vm_uuid)) {
    // Without a lease again it is looked at the next time, too.
    const auto seen = parts_.leases.Renew(vm_uuid, path);
    const auto input = session.inputs.find(path);
    if (!seen || input == session.inputs.end() ||
        IsAsMeasured(path, input->second, seen->now)) {
      continue;
    }
    parts_.leases.Drop(vm_uuid, path);
    const bool in_use =
        std::any_of(files.begin(), files.end(), [&](const OpenFile& file) {
          return file.device == input->second.identity.device &&
                 file.inode == input->second.identity.inode;
        });
    TellWritten(vm_uuid, session, path, in_use);
  }
}

// Of what QEMU closed again it has a copy: that is another file's news at the
// next start.
void DriftWatch::TellWritten(const std::string& vm_uuid,
                             const LaunchSession& session,
                             const std::string& path, bool in_use) {
  const Difference written{"written", path};
  if (!Tell(vm_uuid, session, written, in_use)) {
    Tell(vm_uuid, session, written, /*may_pause=*/false);
  } else if (in_use) {
    parts_.sessions.MarkDrifted(vm_uuid);
  }
}

bool DriftWatch::Enforces(const LaunchSession& session) const {
  return pause_ && session.mode == reference::GateMode::kEnforce &&
         !session.break_glass;
}

bool DriftWatch::Tell(const std::string& vm_uuid, const LaunchSession& session,
                      const Difference& difference, bool may_pause) {
  std::string action = "alert";
  if (may_pause && Enforces(session)) {
    action = Stop(vm_uuid, session);
    if (action.empty()) {
      return false;
    }
  }
  log::Error("a running VM is not what was approved",
             {{"vm", session.vm_name},
              {"uuid", vm_uuid},
              {difference.kind, difference.what},
              {"action", action}});
  parts_.note("gate-drift",
              {{"vm_uuid", vm_uuid},
               {"vm_name", session.vm_name.substr(0, kMaxFact)},
               {difference.kind, difference.what.substr(0, kMaxFact)},
               {"action", action}});
  return true;
}

std::string DriftWatch::Stop(const std::string& vm_uuid,
                             const LaunchSession& session) {
  const absl::StatusOr<Uuid> uuid = ParseUuid(vm_uuid);
  absl::Status status =
      uuid.ok() ? parts_.hypervisor.Suspend(*uuid) : uuid.status();
  if (!status.ok()) {
    log::Error("a VM that drifted cannot be paused",
               {{"vm", session.vm_name}, {"why", status.ToString()}});
    return "";
  }
  const absl::StatusOr<hypervisor::DomainXml> xml =
      parts_.hypervisor.GetXml(*uuid);
  const auto links = xml.ok() ? WithLinksDown(xml->xml) : xml.status();
  status = links.status();
  for (size_t i = 0; links.ok() && i < links->size(); ++i) {
    status.Update(parts_.hypervisor.UpdateDevice(*uuid, (*links)[i]));
  }
  if (!status.ok()) {
    log::Error("links of a VM that drifted cannot be taken down",
               {{"vm", session.vm_name}, {"why", status.ToString()}});
    return "paused";
  }
  return "paused, links down";
}

}  // namespace vmattest::gate
