#include "cli/inventory_commands.h"

#include <chrono>
#include <ctime>

#include "base/bytes.h"
#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/message_json.h"
#include "cli/print.h"
#include "fmt/chrono.h"
#include "fmt/format.h"

namespace vmattest::cli {
namespace {

std::string Time(int64_t unix_ms) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}Z",
                     fmt::gmtime(static_cast<std::time_t>(unix_ms / 1000)));
}

std::string State(v1::VmState state) {
  switch (state) {
    case v1::VM_STATE_RUNNING:
      return "running";
    case v1::VM_STATE_PAUSED:
      return "paused";
    case v1::VM_STATE_SHUTOFF:
      return "shutoff";
    case v1::VM_STATE_CRASHED:
      return "crashed";
    case v1::VM_STATE_SUSPENDED:
      return "suspended";
    case v1::VM_STATE_UNDEFINED:
      return "undefined";
    default:
      return "unknown";
  }
}

std::string Measured(const v1::Measurement& measurement) {
  if (!measurement.error().empty()) {
    return fmt::format("failed: {}", Printable(measurement.error()));
  }
  return fmt::format("{} ({} leaves, {})", ToHex(AsBytes(measurement.root())),
                     measurement.leaf_count(), Printable(measurement.cause()));
}

std::string Line(const v1::Vm& vm) {
  return fmt::format("{}  {:<9}  {}  {}", vm.uuid(), State(vm.state()),
                     Printable(vm.name()),
                     vm.has_last_measurement() ? Measured(vm.last_measurement())
                                               : "not measured yet");
}

std::string Line(const v1::UnmanagedVm& vm) {
  return fmt::format("{:<36}  UNMANAGED  pid {} uid {} {}  {}", "-", vm.pid(),
                     vm.uid(), Printable(vm.accelerator()),
                     Printable(vm.command()));
}

std::string Line(const v1::WatchEventsResponse& event) {
  std::string line = fmt::format(
      "{} {} {} {} {}", event.sequence(), Time(event.time_unix_ms()),
      event.vm_uuid(), Printable(event.vm_name()), Printable(event.kind()));
  if (event.kind() == "measuring") {
    return line +
           fmt::format(" {}/{} bytes", event.bytes_done(), event.bytes_total());
  }
  if (event.has_measurement()) {
    line += fmt::format("{} {}", event.changed() ? " CHANGED" : "",
                        Measured(event.measurement()));
  }
  return line;
}

absl::StatusOr<AttestationClient> Client(const ConnectionArgs& args) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args));
  return AttestationClient(channel, args.timeout);
}

}  // namespace

int RunList(const ListArgs& args, std::ostream& out) {
  auto client = Client(args.connection);
  if (!client.ok()) {
    return Fail(client.status());
  }
  const auto vms = client->ListVms();
  if (!vms.ok()) {
    return Fail(vms.status());
  }
  for (const v1::Vm& vm : vms->vms()) {
    out << (args.json ? Json(vm) : Line(vm)) << "\n";
  }
  for (const v1::UnmanagedVm& vm : vms->unmanaged()) {
    out << (args.json ? Json(vm) : Line(vm)) << "\n";
  }
  out.flush();
  return kExitGood;
}

int RunWatch(const WatchArgs& args, std::ostream& out) {
  auto client = Client(args.connection);
  if (!client.ok()) {
    return Fail(client.status());
  }
  v1::WatchEventsRequest request;
  request.set_after_sequence(args.after);
  request.set_vm(args.vm);
  uint64_t seen = 0;
  const absl::Status watched =
      client->WatchEvents(request, [&](const v1::WatchEventsResponse& event) {
        out << (args.json ? Json(event) : Line(event)) << std::endl;
        return out.good() && ++seen != args.count;
      });
  return watched.ok() ? kExitGood : Fail(watched);
}

int RunStatus(const StatusArgs& args, std::ostream& out) {
  auto client = Client(args.connection);
  if (!client.ok()) {
    return Fail(client.status());
  }
  const auto status = client->GetStatus();
  if (!status.ok()) {
    return Fail(status.status());
  }
  bool serving = true;
  for (const v1::ComponentStatus& component : status->components()) {
    serving = serving && component.serving();
  }
  if (args.json) {
    out << Json(*status) << std::endl;
    return serving ? kExitGood : kExitUndecided;
  }
  out << fmt::format("vmattestd {} since {}\n", status->version(),
                     Time(status->started_unix_ms()));
  for (const v1::ComponentStatus& component : status->components()) {
    out << fmt::format("{:<8} {:<12} since {}  {}\n", component.name(),
                       component.serving() ? "serving" : "NOT SERVING",
                       Time(component.since_unix_ms()),
                       Printable(component.detail()));
  }
  out << fmt::format(
      "vms {}, {} beside libvirt  event log {} records\n"
      "pending seals {}  quotes {}  envelopes {}  digest cache {} "
      "entries, {} hits, {} misses\n",
      status->vms(), status->unmanaged_vms(), status->event_log_records(),
      status->pending_seals(), status->quotes_made(),
      status->envelopes_sealed(), status->digest_cache_entries(),
      status->digest_cache_hits(), status->digest_cache_misses());
  out.flush();
  return serving ? kExitGood : kExitUndecided;
}

}  // namespace vmattest::cli
