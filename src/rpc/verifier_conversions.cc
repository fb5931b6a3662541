#include "rpc/verifier_conversions.h"

#include <algorithm>

#include "base/uuid.h"
#include "evidence/statement.h"
#include "fmt/format.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {
namespace {

using verification::DecisionEntry;
using verification::HostEntry;

constexpr size_t kDefaultHosts = 100;
constexpr int32_t kMaxHosts = 500;
constexpr size_t kMaxHostId = 128;
constexpr size_t kMinAkName = 2 + 32;
constexpr size_t kMaxAkName = 2 + 64;

std::string Field(ByteView bytes) { return std::string(AsText(bytes)); }

v1::CheckFailure ToWire(const Reason& reason, const std::string& fix) {
  v1::CheckFailure failure;
  failure.set_code(reason.code);
  failure.set_element(reason.element);
  failure.set_expected(reason.expected);
  failure.set_found(reason.found);
  failure.set_fix(fix);
  return failure;
}

template <class Message>
void AddFailures(const DecisionEntry& decision, Message& message) {
  for (size_t i = 0; i < decision.reasons.size(); ++i) {
    *message.add_failures() =
        ToWire(decision.reasons[i],
               i < decision.fixes.size() ? decision.fixes[i] : std::string());
  }
}

std::string_view ToText(HostEntry::State state) {
  switch (state) {
    case HostEntry::State::kPending:
      return "pending";
    case HostEntry::State::kEnrolled:
      return "enrolled";
    case HostEntry::State::kRevoked:
      return "revoked";
  }
  return "unknown";
}

}  // namespace

verification::MayVm MayOf(const Authority& authority) {
  return [authority](const std::string& vm_uuid) {
    if (authority.allows_all_vms()) {
      return true;
    }
    const absl::StatusOr<Uuid> uuid = ParseUuid(vm_uuid);
    return uuid.ok() && authority.AllowsVm(*uuid);
  };
}

absl::StatusOr<std::string> VmUuid(const std::string& field,
                                   bool may_be_empty) {
  if (field.empty() && may_be_empty) {
    return std::string();
  }
  const absl::StatusOr<Uuid> uuid = ParseUuid(field);
  if (!uuid.ok()) {
    return FieldError("vm_uuid", "is no UUID");
  }
  return ToString(*uuid);
}

absl::StatusOr<Bytes> DemandedNonce(const std::string& nonce) {
  if (!nonce.empty() && (nonce.size() < evidence::kMinNonceSize ||
                         nonce.size() > evidence::kMaxNonceSize)) {
    return FieldError(
        "nonce",
        fmt::format("must have {} to {} bytes, not {}", evidence::kMinNonceSize,
                    evidence::kMaxNonceSize, nonce.size()));
  }
  return ToBytes(nonce);
}

absl::Status CheckHostId(const std::string& host_id) {
  const bool hex = std::all_of(host_id.begin(), host_id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  if (host_id.empty() || host_id.size() > kMaxHostId || !hex) {
    return FieldError("host_id", "is no host's id: lower-case hexadecimal");
  }
  return absl::OkStatus();
}

absl::StatusOr<Bytes> AkName(const std::string& field) {
  if (field.size() < kMinAkName || field.size() > kMaxAkName) {
    return FieldError("ak_name", "is no TPM name: algorithm and digest");
  }
  return ToBytes(field);
}

absl::StatusOr<size_t> PageSize(int32_t page_size) {
  if (page_size < 0) {
    return FieldError("page_size", "must not be negative");
  }
  return page_size == 0 ? kDefaultHosts
                        : static_cast<size_t>(std::min(page_size, kMaxHosts));
}

absl::Status Refusal(const Verdict& verdict, std::string_view reason) {
  const Reason& why = verdict.reasons.front();
  return WithReason(absl::PermissionDeniedError(
                        fmt::format("{}: {}: expected {}, found {}", why.code,
                                    why.element, why.expected, why.found)),
                    {std::string(reason),
                     {{"code", why.code},
                      {"element", why.element},
                      {"expected", why.expected},
                      {"found", why.found}}});
}

absl::Status Reasoned(
    absl::Status status,
    std::initializer_list<std::pair<absl::StatusCode, std::string_view>>
        reasons) {
  for (const auto& [code, reason] : reasons) {
    if (status.code() == code) {
      return WithReason(std::move(status), {std::string(reason), {}});
    }
  }
  return status;
}

v1::Host ToWire(const HostEntry& host) {
  v1::Host wire;
  wire.set_host_id(host.host_id);
  wire.set_state(std::string(ToText(host.state)));
  wire.set_hostname(host.hostname);
  wire.set_ek_trust(host.ek_trust);
  wire.set_record(Field(host.record));
  wire.set_revision(host.revision);
  wire.set_since_unix_ms(host.since_unix_ms);
  wire.set_client_identity(host.client_identity);
  wire.set_revocation_reason(host.revocation_reason);
  wire.set_ak_name(Field(host.ak_name));
  return wire;
}

v1::Decision ToWire(const DecisionEntry& decision) {
  v1::Decision wire;
  wire.set_sequence(decision.sequence);
  wire.set_kind(std::string(KindName(decision.kind)));
  wire.set_time_unix_ms(decision.time_unix_ms);
  wire.set_vm_uuid(decision.vm_uuid);
  wire.set_vm_name(decision.vm_name);
  wire.set_host_id(decision.host_id);
  wire.set_trusted(decision.trusted);
  AddFailures(decision, wire);
  wire.set_reference(decision.reference);
  wire.set_root(Field(decision.root));
  return wire;
}

v1::AppraiseResponse ToWire(const verification::Appraiser::Result& result) {
  v1::AppraiseResponse wire;
  wire.set_ear(result.ear);
  wire.set_ear_pq(result.ear_pq);
  wire.set_trusted(result.decision.trusted);
  AddFailures(result.decision, wire);
  wire.set_decision(result.decision.sequence);
  wire.set_reference(result.decision.reference);
  return wire;
}

v1::ReferenceSummary ToWire(const verification::ReferenceEntry& reference) {
  v1::ReferenceSummary wire;
  wire.set_name(reference.name);
  wire.set_revision(reference.revision);
  wire.set_mode(reference.mode);
  for (const std::string& vm_uuid : reference.vm_uuids) {
    wire.add_vm_uuids(vm_uuid);
  }
  wire.set_not_before_unix_ms(reference.not_before_unix_ms);
  wire.set_not_after_unix_ms(reference.not_after_unix_ms);
  wire.set_approver(reference.approver);
  wire.set_signer_key_id(Field(reference.signer_key_id));
  return wire;
}

v1::SimulateResponse ToWire(
    const verification::Appraiser::Simulation& simulation) {
  v1::SimulateResponse wire;
  wire.set_examined(simulation.examined);
  for (const verification::Appraiser::Flip& flip : simulation.flips) {
    v1::SimulateResponse::Flip& to = *wire.add_flips();
    to.set_vm_uuid(flip.flip.vm_uuid);
    to.set_decision(flip.decision);
    to.set_trusted_before(flip.flip.allowed_before);
    to.set_trusted_after(flip.flip.allowed_after);
    for (const Reason& reason : flip.flip.reasons) {
      *to.add_failures() = ToWire(reason, "");
    }
  }
  return wire;
}

}  // namespace vmattest::rpc
