#include "rpc/ledger_conversions.h"

#include <utility>

#include "fmt/format.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {
namespace {

std::string Field(const Bytes& bytes) { return std::string(AsText(bytes)); }

}  // namespace

absl::StatusOr<Uuid> LedgerVmOf(const Authority& authority,
                                const std::string& field) {
  const absl::StatusOr<Uuid> vm = ParseUuid(field);
  if (!vm.ok()) {
    return FieldError("vm_uuid", "not a UUID");
  }
  // Whoever may take a VM in has to know how it stands.
  if (!authority.Is(Role::kHost) && !authority.AllowsVm(*vm)) {
    return WithReason(
        absl::PermissionDeniedError(fmt::format("VM {} is not yours", field)),
        {"VM_DENIED", {{"vm", field}}});
  }
  return *vm;
}

v1::GetTrustResponse ToWire(const Uuid& vm,
                            const ledger::LedgerNode::Trust& trust,
                            bool unwitnessed_ledger) {
  const trust::Reading& reading = trust.reading;
  v1::GetTrustResponse wire;
  wire.set_vm_uuid(vmattest::ToString(vm));
  wire.set_score_milli(reading.milli);
  wire.set_band(std::string(ToString(reading.band)));
  wire.set_rules_version(reading.rules_version);
  wire.set_witnessed_milli(reading.witnessed_milli);
  wire.set_unwitnessed(reading.unwitnessed);
  wire.set_passes(reading.vm.passes);
  wire.set_fails(reading.vm.fails);
  wire.set_silences(reading.silences);
  wire.set_host_compromised(reading.host_compromised);
  wire.set_owner(reading.vm.owner);
  wire.set_home(reading.vm.host);
  wire.set_running(reading.vm.running);
  wire.set_epoch(reading.vm.epoch);
  wire.set_leaving_to(reading.vm.leaving_to);
  wire.set_newest_hash(Field(trust.newest_hash));
  wire.set_time_unix_ms(trust.time_unix_ms);
  wire.set_unwitnessed_ledger(unwitnessed_ledger);
  wire.set_size(trust.size);
  wire.set_witnessed(trust.witnessed);
  if (trust.newest) {
    v1::ProvenRecord& newest = *wire.mutable_newest();
    newest.set_index(trust.newest->index);
    newest.set_record(Field(trust.newest->record));
    for (const Bytes& hash : trust.newest->path) {
      newest.add_inclusion_path(Field(hash));
    }
    newest.set_checkpoint(trust.newest->checkpoint);
  }
  return wire;
}

v1::SubmitResponse ToWire(const ledger::Sequencer::Submitted& submitted) {
  v1::SubmitResponse wire;
  wire.set_committed(!submitted.refusal.has_value());
  if (submitted.refusal) {
    v1::CheckFailure& refusal = *wire.mutable_refusal();
    refusal.set_code(submitted.refusal->code);
    refusal.set_element(submitted.refusal->element);
    refusal.set_expected(submitted.refusal->expected);
    refusal.set_found(submitted.refusal->found);
    return wire;
  }
  wire.set_index(submitted.index);
  wire.set_time_unix_ms(submitted.time_ms);
  return wire;
}

ledger::WitnessRequest FromWire(const v1::AddCheckpointRequest& request) {
  ledger::WitnessRequest asked{
      .body = request.body(),
      .newest_record = ToBytes(request.newest_record())};
  for (const std::string& hash : request.inclusion_path()) {
    asked.inclusion_path.push_back(ToBytes(hash));
  }
  return asked;
}

v1::AddCheckpointResponse ToWire(const tlog::WitnessReply& reply) {
  v1::AddCheckpointResponse wire;
  wire.set_status(static_cast<uint32_t>(reply.status));
  wire.set_body(reply.body);
  if (reply.fork) {
    wire.set_fork_proof(tlog::EncodeForkProof(*reply.fork));
  }
  return wire;
}

absl::Status TrustReason(absl::Status status) {
  return absl::IsNotFound(status)
             ? WithReason(std::move(status), {"VM_UNKNOWN", {}})
             : status;
}

absl::Status SubmitReason(absl::Status status,
                          const ledger::Leadership& leadership) {
  return absl::IsAborted(status)
             ? WithReason(std::move(status),
                          {"NOT_THE_LEADER", {{"leader", leadership.leader}}})
             : status;
}

}  // namespace vmattest::rpc
