// The part of LaunchGate that holds on to the files that a VM reads.
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "gate/inputs.h"
#include "gate/launch_gate.h"
#include "gate/protocol/process_facts.h"

namespace vmattest::gate {
namespace {

// libvirtd may live in a pid namespace of its own.
std::optional<ProcessKey> ProcessFor(const GateCall& call) {
  for (const HandedFile& handed : call.handed) {
    if (handed.role != kQemuProcess) {
      continue;
    }
    const auto process = ProcessBehind(handed.file->get());
    if (process && process->start_ticks == call.qemu->start_ticks) {
      return process;
    }
  }
  return FindProcess({call.qemu->pid, call.qemu->start_ticks});
}

}  // namespace

std::optional<Judgement> LaunchGate::CheckStore(std::string_view xml) const {
  if (options_.store.empty()) {
    return std::nullopt;
  }
  const absl::StatusOr<Inputs> inputs = ReadOnlyInputs(xml);
  if (!inputs.ok()) {
    return DenyFor("gate-xml", "reading the domain's XML", inputs.status());
  }
  for (const std::string& path : inputs->boot) {
    if (const absl::Status stored = CheckStored(path, options_.store);
        !stored.ok()) {
      return Deny("gate-store",
                  fmt::format("{}; put it into a folder of gate.store that "
                              "belongs to root",
                              std::string(stored.message())));
    }
  }
  return std::nullopt;
}

// Before they are measured: whoever writes to them from now on is noticed.
std::optional<Judgement> LaunchGate::HoldInputs(const Launch& launch,
                                                std::string_view xml) {
  if (std::optional<Judgement> outside = CheckStore(xml)) {
    return outside;
  }
  const absl::StatusOr<Inputs> inputs = ReadOnlyInputs(xml);
  if (!inputs.ok()) {
    return DenyFor("gate-xml", "reading the domain's XML", inputs.status());
  }
  parts_.leases.Release(launch.uuid);
  parts_.leases.Take(launch.uuid, inputs->boot);
  parts_.leases.Take(launch.uuid, inputs->disks);
  return std::nullopt;
}

// libvirt itself breaks leases when it changes owners; what it does not change
// is the time of the last write. Of a file of which only the ctime changed the
// content is read again at `started` (CheckRunning).
std::optional<Judgement> LaunchGate::CheckHeld(const Launch& launch,
                                               const LaunchSession& session) {
  for (const std::string& path : parts_.leases.Broken(launch.uuid)) {
    const auto seen = parts_.leases.Renew(launch.uuid, path);
    const auto input = session.inputs.find(path);
    if (seen && input != session.inputs.end() &&
        WasWritten(input->second.identity, seen->now)) {
      return Deny("gate-lease-broken",
                  fmt::format("{} was written to while the VM started; start "
                              "it again when nobody writes to it",
                              path));
    }
  }
  return std::nullopt;
}

void LaunchGate::KeepInputs(const Launch& launch, std::string_view xml,
                            const Measured& measured, LaunchSession& session) {
  session.inputs.clear();
  if (measured.content == measurement::ContentPolicy::kNone) {
    parts_.leases.Release(launch.uuid);  // nobody approved what is in them
    return;
  }
  const absl::StatusOr<Inputs> inputs = ReadOnlyInputs(xml);
  if (!inputs.ok()) {
    return;
  }
  for (const auto* paths : {&inputs->boot, &inputs->disks}) {
    for (const std::string& path : *paths) {
      if (const auto it = measured.files.find(path);
          it != measured.files.end()) {
        session.inputs.insert(*it);
      }
    }
  }
}

// What is watched from now on. libvirt changed owners since `start`.
void LaunchGate::KeepWhatRuns(const GateCall& call, LaunchSession& session) {
  const std::optional<QemuFacts>& qemu = call.qemu;
  if (!qemu) {
    return;
  }
  session.process = ProcessFor(call).value_or(ProcessKey());
  for (const OpenFile& file : qemu->files) {
    session.open_files.emplace(file.device, file.inode);
  }
  for (auto& [path, input] : session.inputs) {
    if (const absl::StatusOr<FileIdentity> now = LookAt(path); now.ok()) {
      input.identity = *now;
    }
  }
}

std::string LaunchGate::UnleasedFact(const Launch& launch) const {
  return launch.call.operation == "start"
             ? fmt::format("{}",
                           fmt::join(parts_.leases.Unleased(launch.uuid), ", "))
             : "";
}

}  // namespace vmattest::gate
