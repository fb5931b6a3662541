#include "verification/etcd/rows.h"

#include "fmt/format.h"

namespace vmattest::verification {
namespace {

std::string Text(const Bytes& bytes) { return std::string(AsText(bytes)); }

}  // namespace

std::string Encode(const HostEntry& host) {
  internal::StoredHost row;
  row.set_host_id(host.host_id);
  row.set_state(static_cast<uint32_t>(host.state));
  row.set_revision(host.revision);
  row.set_client_identity(host.client_identity);
  row.set_hostname(host.hostname);
  row.set_ek_trust(host.ek_trust);
  row.set_ak_name(Text(host.ak_name));
  row.set_ek_fingerprint(Text(host.ek_fingerprint));
  row.set_identity(Text(host.identity));
  row.set_record(Text(host.record));
  row.set_since_unix_ms(host.since_unix_ms);
  row.set_revocation_reason(host.revocation_reason);
  return row.SerializeAsString();
}

absl::StatusOr<HostEntry> DecodeHost(std::string_view key,
                                     const std::string& value) {
  ASSIGN_OR_RETURN(const auto row,
                   DecodeMessage<internal::StoredHost>(key, value));
  if (row.state() < 1 || row.state() > 3) {
    return absl::DataLossError(
        fmt::format("{}: a host in an unknown state {}", key, row.state()));
  }
  return HostEntry{.host_id = row.host_id(),
                   .state = static_cast<HostEntry::State>(row.state()),
                   .revision = row.revision(),
                   .client_identity = row.client_identity(),
                   .hostname = row.hostname(),
                   .ek_trust = row.ek_trust(),
                   .ak_name = ToBytes(row.ak_name()),
                   .ek_fingerprint = ToBytes(row.ek_fingerprint()),
                   .identity = ToBytes(row.identity()),
                   .record = ToBytes(row.record()),
                   .since_unix_ms = row.since_unix_ms(),
                   .revocation_reason = row.revocation_reason()};
}

std::string Encode(const RebindPermit& permit) {
  internal::StoredPermit row;
  row.set_host_id(permit.host_id);
  row.set_ak_name(Text(permit.ak_name));
  row.set_expires_unix_ms(permit.expires_unix_ms);
  return row.SerializeAsString();
}

absl::StatusOr<RebindPermit> DecodePermit(std::string_view key,
                                          const std::string& value) {
  ASSIGN_OR_RETURN(const auto row,
                   DecodeMessage<internal::StoredPermit>(key, value));
  return RebindPermit{.host_id = row.host_id(),
                      .ak_name = ToBytes(row.ak_name()),
                      .expires_unix_ms = row.expires_unix_ms()};
}

std::string Encode(const ReferenceEntry& reference) {
  internal::StoredReference row;
  row.set_name(reference.name);
  row.set_revision(reference.revision);
  row.set_mode(reference.mode);
  row.mutable_vm_uuids()->Assign(reference.vm_uuids.begin(),
                                 reference.vm_uuids.end());
  row.set_not_before_unix_ms(reference.not_before_unix_ms);
  row.set_not_after_unix_ms(reference.not_after_unix_ms);
  row.set_approver(reference.approver);
  row.set_signer_key_id(Text(reference.signer_key_id));
  row.set_stored_unix_ms(reference.stored_unix_ms);
  return row.SerializeAsString();
}

absl::StatusOr<ReferenceEntry> DecodeReference(std::string_view key,
                                               const std::string& value) {
  ASSIGN_OR_RETURN(const auto row,
                   DecodeMessage<internal::StoredReference>(key, value));
  return ReferenceEntry{
      .name = row.name(),
      .revision = row.revision(),
      .mode = row.mode(),
      .vm_uuids = {row.vm_uuids().begin(), row.vm_uuids().end()},
      .not_before_unix_ms = row.not_before_unix_ms(),
      .not_after_unix_ms = row.not_after_unix_ms(),
      .approver = row.approver(),
      .signer_key_id = ToBytes(row.signer_key_id()),
      .stored_unix_ms = row.stored_unix_ms(),
      .document = {}};
}

std::string Encode(const BaselineEntry& baseline) {
  internal::StoredBaseline row;
  row.set_name(baseline.name);
  row.set_revision(baseline.revision);
  row.set_subset(baseline.subset);
  row.mutable_vm_uuids()->Assign(baseline.vm_uuids.begin(),
                                 baseline.vm_uuids.end());
  row.set_not_before_unix_ms(baseline.not_before_unix_ms);
  row.set_not_after_unix_ms(baseline.not_after_unix_ms);
  row.set_approver(baseline.approver);
  row.set_signer_key_id(Text(baseline.signer_key_id));
  row.set_stored_unix_ms(baseline.stored_unix_ms);
  return row.SerializeAsString();
}

absl::StatusOr<BaselineEntry> DecodeBaseline(std::string_view key,
                                             const std::string& value) {
  ASSIGN_OR_RETURN(const auto row,
                   DecodeMessage<internal::StoredBaseline>(key, value));
  return BaselineEntry{
      .name = row.name(),
      .revision = row.revision(),
      .subset = row.subset(),
      .vm_uuids = {row.vm_uuids().begin(), row.vm_uuids().end()},
      .not_before_unix_ms = row.not_before_unix_ms(),
      .not_after_unix_ms = row.not_after_unix_ms(),
      .approver = row.approver(),
      .signer_key_id = ToBytes(row.signer_key_id()),
      .stored_unix_ms = row.stored_unix_ms(),
      .document = {}};
}

std::string Encode(const BreakGlassEntry& order) {
  internal::StoredOrder row;
  row.set_serial(Text(order.serial));
  row.set_vm_uuid(order.vm_uuid);
  row.set_host_id(order.host_id);
  row.set_not_after_unix_ms(order.not_after_unix_ms);
  row.set_stored_unix_ms(order.stored_unix_ms);
  row.set_document(Text(order.document));
  return row.SerializeAsString();
}

absl::StatusOr<BreakGlassEntry> DecodeOrder(std::string_view key,
                                            const std::string& value) {
  ASSIGN_OR_RETURN(const auto row,
                   DecodeMessage<internal::StoredOrder>(key, value));
  return BreakGlassEntry{.serial = ToBytes(row.serial()),
                         .vm_uuid = row.vm_uuid(),
                         .host_id = row.host_id(),
                         .not_after_unix_ms = row.not_after_unix_ms(),
                         .stored_unix_ms = row.stored_unix_ms(),
                         .document = ToBytes(row.document())};
}

Bytes EncodeDecision(const DecisionEntry& decision) {
  internal::StoredDecision row;
  row.set_kind(static_cast<uint32_t>(decision.kind));
  row.set_time_unix_ms(decision.time_unix_ms);
  row.set_vm_uuid(decision.vm_uuid);
  row.set_vm_name(decision.vm_name);
  row.set_host_id(decision.host_id);
  row.set_trusted(decision.trusted);
  row.set_genuine(decision.genuine);
  for (size_t i = 0; i < decision.reasons.size(); ++i) {
    const Reason& reason = decision.reasons[i];
    internal::StoredReason& stored = *row.add_reasons();
    stored.set_code(reason.code);
    stored.set_element(reason.element);
    stored.set_expected(reason.expected);
    stored.set_found(reason.found);
    stored.set_fix(i < decision.fixes.size() ? decision.fixes[i] : "");
  }
  row.set_reference(decision.reference);
  row.set_root(Text(decision.root));
  row.set_ear(decision.ear);
  return ToBytes(row.SerializeAsString());
}

absl::StatusOr<DecisionEntry> DecodeDecision(std::string_view key,
                                             const Bytes& value) {
  ASSIGN_OR_RETURN(const auto row, DecodeMessage<internal::StoredDecision>(
                                       key, std::string(AsText(value))));
  if (row.kind() < 1 || row.kind() > 3) {
    return absl::DataLossError(
        fmt::format("{}: a decision of an unknown kind {}", key, row.kind()));
  }
  DecisionEntry decision;
  decision.kind = static_cast<DecisionEntry::Kind>(row.kind());
  decision.time_unix_ms = row.time_unix_ms();
  decision.vm_uuid = row.vm_uuid();
  decision.vm_name = row.vm_name();
  decision.host_id = row.host_id();
  decision.trusted = row.trusted();
  decision.genuine = row.genuine();
  for (const internal::StoredReason& reason : row.reasons()) {
    decision.reasons.push_back({.code = reason.code(),
                                .element = reason.element(),
                                .expected = reason.expected(),
                                .found = reason.found()});
    decision.fixes.push_back(reason.fix());
  }
  decision.reference = row.reference();
  decision.root = ToBytes(row.root());
  decision.ear = row.ear();
  return decision;
}

}  // namespace vmattest::verification
