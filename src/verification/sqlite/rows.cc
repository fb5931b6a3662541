#include "verification/sqlite/rows.h"

#include <algorithm>
#include <limits>

#include "fmt/format.h"

namespace vmattest::verification {
namespace {

constexpr uint8_t kReasonsVersion = 1;

Bytes EncodeReasons(const DecisionEntry& decision) {
  ByteWriter writer;
  writer.U8(kReasonsVersion);
  writer.U32(static_cast<uint32_t>(decision.reasons.size()));
  for (size_t i = 0; i < decision.reasons.size(); ++i) {
    const Reason& reason = decision.reasons[i];
    writer.Sized(reason.code)
        .Sized(reason.element)
        .Sized(reason.expected)
        .Sized(reason.found)
        .Sized(i < decision.fixes.size() ? decision.fixes[i] : "");
  }
  return std::move(writer).Take();
}

std::string ReadText(ByteReader& reader) {
  const uint32_t size = reader.U32();
  return std::string(AsText(reader.Raw(size)));
}

absl::Status DecodeReasons(ByteView bytes, DecisionEntry& decision) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  const uint32_t count = reader.U32();
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    Reason reason;
    reason.code = ReadText(reader);
    reason.element = ReadText(reader);
    reason.expected = ReadText(reader);
    reason.found = ReadText(reader);
    decision.reasons.push_back(std::move(reason));
    decision.fixes.push_back(ReadText(reader));
  }
  if (version != kReasonsVersion || !reader.AtEnd()) {
    return absl::DataLossError(
        fmt::format("the verifier store has malformed reasons of decision {}",
                    decision.sequence));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t ToInteger(uint64_t value) {
  return static_cast<int64_t>(
      std::min<uint64_t>(value, std::numeric_limits<int64_t>::max()));
}

void Bind(sqlite::Query& query, const HostEntry& host) {
  query.Bind(host.host_id)
      .Bind(static_cast<int64_t>(host.state))
      .Bind(ToInteger(host.revision))
      .Bind(host.client_identity)
      .Bind(host.hostname)
      .Bind(host.ek_trust)
      .Bind(ByteView(host.ak_name))
      .Bind(ByteView(host.ek_fingerprint))
      .Bind(ByteView(host.identity))
      .Bind(ByteView(host.record))
      .Bind(host.since_unix_ms)
      .Bind(host.revocation_reason);
}

absl::StatusOr<HostEntry> ReadHost(const sqlite::Query& query) {
  HostEntry host;
  host.host_id = query.Text(0);
  const int64_t state = query.Integer(1);
  if (state < 1 || state > 3) {
    return absl::DataLossError(
        fmt::format("the verifier store has host {} in an unknown state {}",
                    host.host_id, state));
  }
  host.state = static_cast<HostEntry::State>(state);
  host.revision = static_cast<uint64_t>(query.Integer(2));
  host.client_identity = query.Text(3);
  host.hostname = query.Text(4);
  host.ek_trust = query.Text(5);
  host.ak_name = query.Blob(6);
  host.ek_fingerprint = query.Blob(7);
  host.identity = query.Blob(8);
  host.record = query.Blob(9);
  host.since_unix_ms = query.Integer(10);
  host.revocation_reason = query.Text(11);
  return host;
}

void Bind(sqlite::Query& query, const ReferenceEntry& reference) {
  query.Bind(reference.name)
      .Bind(ToInteger(reference.revision))
      .Bind(reference.mode)
      .Bind(reference.not_before_unix_ms)
      .Bind(reference.not_after_unix_ms)
      .Bind(reference.approver)
      .Bind(ByteView(reference.signer_key_id))
      .Bind(reference.stored_unix_ms)
      .Bind(ByteView(reference.document));
}

ReferenceEntry ReadReference(const sqlite::Query& query) {
  ReferenceEntry reference;
  reference.name = query.Text(0);
  reference.revision = static_cast<uint64_t>(query.Integer(1));
  reference.mode = query.Text(2);
  reference.not_before_unix_ms = query.Integer(3);
  reference.not_after_unix_ms = query.Integer(4);
  reference.approver = query.Text(5);
  reference.signer_key_id = query.Blob(6);
  reference.stored_unix_ms = query.Integer(7);
  reference.document = query.Blob(8);
  return reference;
}

void Bind(sqlite::Query& query, uint64_t sequence,
          const DecisionEntry& decision) {
  query.Bind(ToInteger(sequence))
      .Bind(static_cast<int64_t>(decision.kind))
      .Bind(decision.time_unix_ms)
      .Bind(decision.vm_uuid)
      .Bind(decision.vm_name)
      .Bind(decision.host_id)
      .Bind(static_cast<int64_t>(decision.trusted))
      .Bind(static_cast<int64_t>(decision.genuine))
      .Bind(ByteView(EncodeReasons(decision)))
      .Bind(decision.reference)
      .Bind(ByteView(decision.root))
      .Bind(decision.ear);
}

absl::StatusOr<DecisionEntry> ReadDecision(const sqlite::Query& query) {
  DecisionEntry decision;
  decision.sequence = static_cast<uint64_t>(query.Integer(0));
  const int64_t kind = query.Integer(1);
  if (kind < 1 || kind > 3) {
    return absl::DataLossError(
        fmt::format("the verifier store has decision {} of an unknown kind {}",
                    decision.sequence, kind));
  }
  decision.kind = static_cast<DecisionEntry::Kind>(kind);
  decision.time_unix_ms = query.Integer(2);
  decision.vm_uuid = query.Text(3);
  decision.vm_name = query.Text(4);
  decision.host_id = query.Text(5);
  decision.trusted = query.Integer(6) != 0;
  decision.genuine = query.Integer(7) != 0;
  RETURN_IF_ERROR(DecodeReasons(query.Blob(8), decision));
  decision.reference = query.Text(9);
  decision.root = query.Blob(10);
  decision.ear = query.Text(11);
  return decision;
}

}  // namespace vmattest::verification
