#include "signing/remote/signer_codec.h"

#include <string.h>

#include <utility>

#include "fmt/format.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace vmattest::signing {
namespace {

constexpr size_t kHeadSize = 32;
constexpr size_t kMaxSecret = 64;  // the largest digest of a TPM
constexpr uint32_t kMaxPcr = 23;
constexpr int kMaxCode = static_cast<int>(absl::StatusCode::kUnauthenticated);

absl::Status Malformed(std::string_view field) {
  return absl::InvalidArgumentError(
      fmt::format("{} is not as a signer of ours writes it", field));
}

void Encode(const PcrValues& pcrs, v1::PcrBank& message) {
  message.set_bank(pcrs.bank);
  for (const auto& [index, value] : pcrs.values) {
    v1::PcrValue& added = *message.add_values();
    added.set_index(index);
    added.set_value(wire::ToField(value));
  }
}

absl::StatusOr<PcrValues> ParsePcrs(const v1::PcrBank& message) {
  PcrValues pcrs;
  if (message.bank() > UINT16_MAX) {
    return Malformed("a PCR bank");
  }
  pcrs.bank = static_cast<uint16_t>(message.bank());
  for (const v1::PcrValue& value : message.values()) {
    if (value.index() > kMaxPcr) {
      return Malformed("a PCR's index");
    }
    pcrs.values[value.index()] = wire::FromField(value.value());
  }
  return pcrs;
}

}  // namespace

ipc::Message ToIpcMessage(const google::protobuf::MessageLite& message) {
  ipc::Message bytes{Bytes(message.ByteSizeLong()), {}};
  (void)message.SerializeToArray(bytes.bytes.data(),
                                 static_cast<int>(bytes.bytes.size()));
  return bytes;
}

absl::Status FromIpcMessage(const ipc::Message& bytes,
                            google::protobuf::MessageLite& message) {
  if (!bytes.descriptors.empty() ||
      !message.ParseFromArray(bytes.bytes.data(),
                              static_cast<int>(bytes.bytes.size()))) {
    return absl::DataLossError(fmt::format(
        "{} bytes are no message of the signer's channel", bytes.bytes.size()));
  }
  return absl::OkStatus();
}

void PutStatus(const absl::Status& status, internal::SignerReply& reply) {
  reply.set_code(status.raw_code());
  reply.set_message(std::string(status.message()));
}

absl::Status GetStatus(int code, const std::string& message) {
  if (code == 0) {
    return absl::OkStatus();
  }
  return {code > 0 && code <= kMaxCode ? static_cast<absl::StatusCode>(code)
                                       : absl::StatusCode::kUnknown,
          message};
}

void Encode(const std::vector<evidence::Signature>& signatures,
            internal::SignerReply::Signatures& message) {
  evidence::Envelope envelope;
  envelope.signatures = signatures;
  v1::Envelope encoded = wire::ToMessage(envelope);
  message.mutable_signatures()->Swap(encoded.mutable_signatures());
}

absl::StatusOr<std::vector<evidence::Signature>> Parse(
    const internal::SignerReply::Signatures& message) {
  v1::Envelope encoded;
  *encoded.mutable_signatures() = message.signatures();
  ASSIGN_OR_RETURN(evidence::Envelope envelope, wire::FromMessage(encoded));
  return std::move(envelope.signatures);
}

void Encode(const TpmClock& clock, v1::TpmClock& message) {
  message.set_clock_ms(clock.clock_ms);
  message.set_reset_count(clock.reset_count);
  message.set_restart_count(clock.restart_count);
  message.set_safe(clock.safe);
}

TpmClock Parse(const v1::TpmClock& message) {
  return {.clock_ms = message.clock_ms(),
          .reset_count = message.reset_count(),
          .restart_count = message.restart_count(),
          .safe = message.safe()};
}

void Encode(const eventlog::LogHead& head,
            internal::SignerReply::LogHead& message) {
  message.set_size(head.size);
  message.set_head(wire::ToField(head.head));
}

absl::StatusOr<eventlog::LogHead> Parse(
    const internal::SignerReply::LogHead& message) {
  if (message.head().size() != kHeadSize) {
    return Malformed("log_head");
  }
  eventlog::LogHead head;
  head.size = message.size();
  head.head = wire::FromField(message.head());
  return head;
}

void Encode(const evidence::AnchorCertification& anchor,
            v1::AnchorCertification& message) {
  message.set_nv_public(wire::ToField(anchor.nv_public));
  message.set_certify_info(wire::ToField(anchor.certify_info));
  message.set_signature(wire::ToField(anchor.signature));
}

evidence::AnchorCertification Parse(const v1::AnchorCertification& message) {
  return {wire::FromField(message.nv_public()),
          wire::FromField(message.certify_info()),
          wire::FromField(message.signature())};
}

void Encode(const std::vector<Signer::KeyStatus>& keys,
            internal::SignerReply::Keys& message) {
  for (const Signer::KeyStatus& key : keys) {
    internal::SignerReply::KeyStatus& added = *message.add_keys();
    *added.mutable_certification() = wire::ToMessage(key.key.certification);
    added.set_state(static_cast<uint32_t>(key.key.state));
    added.set_since_unix_ms(key.key.since_unix_ms);
    added.set_pq_algorithm(key.pq_algorithm);
    added.set_pq_key_id(wire::ToField(key.pq_key_id));
  }
}

absl::StatusOr<std::vector<Signer::KeyStatus>> Parse(
    const internal::SignerReply::Keys& message) {
  std::vector<Signer::KeyStatus> keys;
  for (const internal::SignerReply::KeyStatus& found : message.keys()) {
    Signer::KeyStatus& key = keys.emplace_back();
    ASSIGN_OR_RETURN(key.key.certification,
                     wire::FromMessage(found.certification()));
    if (found.state() > static_cast<uint32_t>(tpm::KeyEpoch::State::kRevoked)) {
      return Malformed("the state of a key");
    }
    key.key.state = static_cast<tpm::KeyEpoch::State>(found.state());
    key.key.since_unix_ms = found.since_unix_ms();
    key.pq_algorithm = found.pq_algorithm();
    key.pq_key_id = wire::FromField(found.pq_key_id());
  }
  return keys;
}

void Encode(const Signer::SealStatus& status,
            internal::SignerReply::SealStatus& message) {
  message.set_pq_state(static_cast<uint32_t>(status.state));
  message.set_detail(status.detail);
  Encode(status.current.pcrs, *message.mutable_current());
  message.set_counter(status.current.counter);
  message.set_counter_name(wire::ToField(status.current.counter_name));
  message.set_authority(wire::ToField(status.authority));
  message.set_approvals(status.approvals);
}

absl::StatusOr<Signer::SealStatus> Parse(
    const internal::SignerReply::SealStatus& message) {
  Signer::SealStatus status;
  ASSIGN_OR_RETURN(status.state, ParsePqState(message.pq_state()));
  status.detail = message.detail();
  ASSIGN_OR_RETURN(status.current.pcrs, ParsePcrs(message.current()));
  status.current.counter = message.counter();
  status.current.counter_name = wire::FromField(message.counter_name());
  status.authority = wire::FromField(message.authority());
  status.approvals = message.approvals();
  return status;
}

void Encode(const evidence::SealApproval& approval,
            internal::SealApproval& message) {
  message.set_host_id(approval.host_id);
  message.set_purpose(static_cast<v1::KeyPurpose>(approval.purpose));
  Encode(approval.pcrs, *message.mutable_pcrs());
  message.set_counter_limit(approval.counter_limit);
  message.set_counter_name(wire::ToField(approval.counter_name));
  message.set_signature(wire::ToField(approval.signature));
}

absl::StatusOr<evidence::SealApproval> Parse(
    const internal::SealApproval& message) {
  evidence::SealApproval approval;
  approval.host_id = message.host_id();
  ASSIGN_OR_RETURN(approval.purpose, ParsePurpose(message.purpose()));
  ASSIGN_OR_RETURN(approval.pcrs, ParsePcrs(message.pcrs()));
  approval.counter_limit = message.counter_limit();
  approval.counter_name = wire::FromField(message.counter_name());
  approval.signature = wire::FromField(message.signature());
  return approval;
}

void EncodeSecret(const SecretBytes& secret, internal::SignerReply& reply) {
  const ByteView value = secret.Reveal(SecretAccess());
  reply.set_secret(value.data(), value.size());
}

absl::StatusOr<SecretBytes> ParseSecret(internal::SignerReply& reply) {
  std::string& raw = *reply.mutable_secret();
  SecretBytes secret(ToBytes(raw));
  explicit_bzero(raw.data(), raw.size());
  reply.clear_secret();
  if (secret.empty() || secret.size() > kMaxSecret) {
    return absl::InvalidArgumentError(
        fmt::format("a secret of {} bytes", secret.size()));
  }
  return secret;
}

absl::StatusOr<KeyPurpose> ParsePurpose(v1::KeyPurpose purpose) {
  if (purpose < v1::KEY_PURPOSE_CONFIG ||
      purpose > v1::KEY_PURPOSE_AUTHORIZATION) {
    return Malformed("the purpose of a key");
  }
  return static_cast<KeyPurpose>(purpose);
}

absl::StatusOr<PqState> ParsePqState(uint32_t number) {
  if (number > static_cast<uint32_t>(PqState::kUnsealed)) {
    return Malformed("the post-quantum state");
  }
  return static_cast<PqState>(number);
}

void Encode(const SignerState& state, internal::SignerReply::State& message) {
  message.set_code(state.tpm.raw_code());
  message.set_message(std::string(state.tpm.message()));
  for (const std::string& algorithm : state.algorithms) {
    message.add_algorithms(algorithm);
  }
  if (state.log) {
    Encode(*state.log, *message.mutable_log_head());
  }
  message.set_boot_record(state.boot_record);
  message.set_log_problem(state.log_problem);
  message.set_pq_state(static_cast<uint32_t>(state.pq));
  message.set_pq_detail(state.pq_detail);
}

absl::StatusOr<SignerState> Parse(const internal::SignerReply::State& message,
                                  const SignerState& before) {
  SignerState state;
  state.tpm = GetStatus(message.code(), message.message());
  state.identity = before.identity;
  if (!message.identity().empty()) {
    ASSIGN_OR_RETURN(state.identity,
                     wire::ParseHostIdentity(AsBytes(message.identity())));
  }
  state.algorithms.assign(message.algorithms().begin(),
                          message.algorithms().end());
  if (message.has_log_head()) {
    ASSIGN_OR_RETURN(state.log, Parse(message.log_head()));
  }
  state.boot_record = message.boot_record();
  state.log_problem = message.log_problem();
  ASSIGN_OR_RETURN(state.pq, ParsePqState(message.pq_state()));
  state.pq_detail = message.pq_detail();
  return state;
}

}  // namespace vmattest::signing
