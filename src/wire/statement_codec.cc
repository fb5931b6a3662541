#include <fmt/format.h>

#include <optional>

#include "wire/codec.h"
#include "wire/messages.h"

namespace vmattest::wire {
v1::TpmClock ToMessage(const TpmClock& clock) {
  v1::TpmClock message;
  message.set_clock_ms(clock.clock_ms);
  message.set_reset_count(clock.reset_count);
  message.set_restart_count(clock.restart_count);
  message.set_safe(clock.safe);
  return message;
}

TpmClock FromMessage(const v1::TpmClock& message) {
  return {.clock_ms = message.clock_ms(),
          .reset_count = message.reset_count(),
          .restart_count = message.restart_count(),
          .safe = message.safe()};
}

v1::StatementHeader ToMessage(const evidence::StatementHeader& header) {
  v1::StatementHeader message;
  message.set_version(header.version);
  message.set_module_version(header.module_version);
  message.set_host_id(header.host_id);
  message.set_vm_uuid(header.vm_uuid);
  message.set_vm_name(header.vm_name);
  message.set_nonce(ToField(header.nonce));
  message.set_time_unix_ms(header.time_unix_ms);
  *message.mutable_measured_at() = ToMessage(header.measured_at);
  for (const std::string& algorithm : header.signature_algorithms) {
    message.add_signature_algorithms(algorithm);
  }
  message.set_sequence(header.sequence);
  if (header.host) {
    v1::HostState& host = *message.mutable_host();
    host.set_log_size(header.host->log_size);
    host.set_log_head(ToField(header.host->log_head));
    host.set_unmanaged_vms(header.host->unmanaged_vms);
  }
  return message;
}

evidence::StatementHeader FromMessage(const v1::StatementHeader& message) {
  evidence::StatementHeader header;
  header.version = message.version();
  header.module_version = message.module_version();
  header.host_id = message.host_id();
  header.vm_uuid = message.vm_uuid();
  header.vm_name = message.vm_name();
  header.nonce = FromField(message.nonce());
  header.time_unix_ms = message.time_unix_ms();
  header.measured_at = FromMessage(message.measured_at());
  header.signature_algorithms.assign(message.signature_algorithms().begin(),
                                     message.signature_algorithms().end());
  header.sequence = message.sequence();
  if (message.has_host()) {
    header.host =
        evidence::HostState{.log_size = message.host().log_size(),
                            .log_head = FromField(message.host().log_head()),
                            .unmanaged_vms = message.host().unmanaged_vms()};
  }
  return header;
}

std::optional<HashAlgorithm> KnownAlgorithm(int number) {
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    if (number == static_cast<int>(algorithm)) {
      return algorithm;
    }
  }
  return std::nullopt;
}

Bytes EncodeConfigStatement(const evidence::ConfigStatement& statement) {
  v1::ConfigStatement message;
  *message.mutable_header() = ToMessage(statement.header);
  message.set_algorithm(static_cast<v1::HashAlgorithm>(statement.algorithm));
  message.set_schema_version(statement.schema_version);
  message.set_leaf_count(statement.leaf_count);
  message.set_root(ToField(statement.root));
  message.set_salt_id(statement.salt_id);
  message.set_content(statement.content);
  message.set_xml_kind(statement.xml_kind);
  message.set_vm_state(statement.vm_state);
  for (const evidence::CachedContent& cached : statement.cached) {
    v1::CachedContent& added = *message.add_cached();
    added.set_path(cached.path);
    added.set_since_unix_ms(cached.since_unix_ms);
  }
  message.set_inside(statement.inside);
  return Serialize(message);
}

absl::StatusOr<evidence::ConfigStatement> ParseConfigStatement(ByteView bytes) {
  v1::ConfigStatement message;
  RETURN_IF_ERROR(
      ParseMessage(bytes, kMaxStatementSize, "ConfigStatement", message));
  const std::optional<HashAlgorithm> algorithm =
      KnownAlgorithm(message.algorithm());
  if (!algorithm) {
    return Malformed(
        "ConfigStatement.algorithm",
        fmt::format("{} is unknown", static_cast<int>(message.algorithm())));
  }
  evidence::ConfigStatement statement;
  statement.header = FromMessage(message.header());
  statement.algorithm = *algorithm;
  statement.schema_version = message.schema_version();
  statement.leaf_count = message.leaf_count();
  statement.root = FromField(message.root());
  statement.salt_id = message.salt_id();
  statement.content = message.content();
  statement.xml_kind = message.xml_kind();
  statement.vm_state = message.vm_state();
  for (const v1::CachedContent& cached : message.cached()) {
    statement.cached.push_back({cached.path(), cached.since_unix_ms()});
  }
  statement.inside = message.inside();
  RETURN_IF_ERROR(CheckCanonical(bytes, EncodeConfigStatement(statement),
                                 "ConfigStatement"));
  return statement;
}

Bytes EncodeHostLogStatement(const evidence::HostLogStatement& statement) {
  v1::HostLogStatement message;
  *message.mutable_header() = ToMessage(statement.header);
  message.set_log_pcr(statement.log_pcr);
  message.set_boot_record(statement.boot_record);
  v1::AnchorCertification& anchor = *message.mutable_anchor();
  anchor.set_nv_public(ToField(statement.anchor.nv_public));
  anchor.set_certify_info(ToField(statement.anchor.certify_info));
  anchor.set_signature(ToField(statement.anchor.signature));
  message.set_boot_log_size(statement.boot_log_size);
  message.set_boot_log_digest(ToField(statement.boot_log_digest));
  return Serialize(message);
}

absl::StatusOr<evidence::HostLogStatement> ParseHostLogStatement(
    ByteView bytes) {
  v1::HostLogStatement message;
  RETURN_IF_ERROR(
      ParseMessage(bytes, kMaxStatementSize, "HostLogStatement", message));
  evidence::HostLogStatement statement;
  statement.header = FromMessage(message.header());
  statement.log_pcr = message.log_pcr();
  statement.boot_record = message.boot_record();
  statement.anchor = {
      .nv_public = FromField(message.anchor().nv_public()),
      .certify_info = FromField(message.anchor().certify_info()),
      .signature = FromField(message.anchor().signature())};
  statement.boot_log_size = message.boot_log_size();
  statement.boot_log_digest = FromField(message.boot_log_digest());
  RETURN_IF_ERROR(CheckCanonical(bytes, EncodeHostLogStatement(statement),
                                 "HostLogStatement"));
  return statement;
}

}  // namespace vmattest::wire
