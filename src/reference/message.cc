#include "reference/message.h"

#include <fmt/format.h>

#include "reference/validate.h"
#include "wire/messages.h"

namespace vmattest::reference {
namespace {

constexpr uint32_t kVersion = 1;
constexpr uint32_t kDefaultVerdictSeconds = 3600;
constexpr size_t kMaxPayload = 4u << 20;

using wire::FromField;
using wire::Malformed;
using wire::ToField;

std::optional<LeafType> ParseLeafType(std::string_view name) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(LeafType::kTree); ++i) {
    if (name == vmattest::ToString(static_cast<LeafType>(i))) {
      return static_cast<LeafType>(i);
    }
  }
  return std::nullopt;
}

void SetHeader(const Header& header, v1::DocumentHeader& message) {
  message.set_version(kVersion);
  message.set_issued_unix_ms(header.issued_unix_ms);
  message.set_not_before_unix_ms(header.not_before_unix_ms);
  message.set_not_after_unix_ms(header.not_after_unix_ms);
  for (const std::string& algorithm : header.signature_algorithms) {
    message.add_signature_algorithms(algorithm);
  }
}

absl::StatusOr<Header> FromHeader(const v1::DocumentHeader& message) {
  if (message.version() != kVersion) {
    return Malformed(
        "header.version",
        fmt::format("{}, expected {}", message.version(), kVersion));
  }
  Header header;
  header.issued_unix_ms = message.issued_unix_ms();
  header.not_before_unix_ms = message.not_before_unix_ms();
  header.not_after_unix_ms = message.not_after_unix_ms();
  header.signature_algorithms = {message.signature_algorithms().begin(),
                                 message.signature_algorithms().end()};
  return header;
}

void SetConfig(const Reference& reference, v1::ConfigReference& message) {
  message.set_algorithm(static_cast<v1::HashAlgorithm>(reference.algorithm));
  message.set_content(reference.content);
  message.set_inside(reference.inside);
  for (const DigestBytes& root : reference.roots) {
    message.add_roots(ToField(root));
  }
  for (const LeafRule& rule : reference.rules) {
    v1::LeafRule& added = *message.add_rules();
    added.set_path(rule.path);
    // The numbers of the two enumerations differ by the unspecified one.
    added.set_kind(
        static_cast<v1::LeafRule::Kind>(static_cast<int>(rule.kind) + 1));
    if (rule.type) {
      added.set_type(std::string(vmattest::ToString(*rule.type)));
    }
    for (const std::string& value : rule.values) {
      added.add_values(value);
    }
  }
  message.set_accept_other_leaves(reference.accept_other_leaves);
  message.set_accept_cached_content(reference.accept_cached_content);
  message.set_accept_unavailable(reference.accept_unavailable);
}

absl::StatusOr<LeafRule> FromRule(const v1::LeafRule& message) {
  LeafRule rule;
  rule.path = message.path();
  if (message.kind() < v1::LeafRule::KIND_EQUAL ||
      message.kind() > v1::LeafRule::KIND_ANY) {
    return Malformed("rules.kind",
                     fmt::format("{} of the rule for '{}' is unknown",
                                 static_cast<int>(message.kind()), rule.path));
  }
  rule.kind = static_cast<LeafRule::Kind>(static_cast<int>(message.kind()) - 1);
  if (!message.type().empty()) {
    rule.type = ParseLeafType(message.type());
    if (!rule.type || *rule.type == LeafType::kHeader) {
      return Malformed("rules.type",
                       fmt::format("'{}' of the rule for '{}' is unknown",
                                   message.type(), rule.path));
    }
  }
  rule.values = {message.values().begin(), message.values().end()};
  return rule;
}

absl::Status FromConfig(const v1::ConfigReference& message,
                        Reference& reference) {
  if (message.algorithm() < v1::HASH_ALGORITHM_SHA256 ||
      message.algorithm() > v1::HASH_ALGORITHM_BLAKE3) {
    return Malformed("config.algorithm", "unknown");
  }
  reference.algorithm = static_cast<HashAlgorithm>(message.algorithm());
  reference.content = message.content();
  reference.inside = message.inside();
  for (const std::string& root : message.roots()) {
    reference.roots.push_back(FromField(root));
  }
  for (const v1::LeafRule& rule : message.rules()) {
    ASSIGN_OR_RETURN(LeafRule parsed, FromRule(rule));
    reference.rules.push_back(std::move(parsed));
  }
  reference.accept_other_leaves = message.accept_other_leaves();
  reference.accept_cached_content = message.accept_cached_content();
  reference.accept_unavailable = message.accept_unavailable();
  return absl::OkStatus();
}

bool DemandsOfHost(const Reference& reference) {
  return !reference.host_ids.empty() || !reference.pcrs.empty() ||
         !reference.required_signatures.empty() || reference.max_unmanaged_vms;
}

void SetHost(const Reference& reference, v1::HostReference& message) {
  for (const std::string& host_id : reference.host_ids) {
    message.add_host_ids(host_id);
  }
  for (const auto& [index, values] : reference.pcrs) {
    v1::PcrRule& rule = *message.add_pcrs();
    rule.set_index(index);
    for (const Bytes& value : values) {
      rule.add_values(ToField(value));
    }
  }
  for (const std::string& algorithm : reference.required_signatures) {
    message.add_required_signatures(algorithm);
  }
  if (reference.max_unmanaged_vms) {
    message.set_max_unmanaged_vms(*reference.max_unmanaged_vms);
  }
}

absl::Status FromHost(const v1::HostReference& message, Reference& reference) {
  reference.host_ids = {message.host_ids().begin(), message.host_ids().end()};
  for (const v1::PcrRule& rule : message.pcrs()) {
    if (!reference.pcrs.empty() &&
        reference.pcrs.rbegin()->first >= rule.index()) {
      return Malformed("host.pcrs", fmt::format("{} is there twice or out of "
                                                "order",
                                                rule.index()));
    }
    std::vector<Bytes>& values = reference.pcrs[rule.index()];
    for (const std::string& value : rule.values()) {
      values.push_back(FromField(value));
    }
  }
  reference.required_signatures = {message.required_signatures().begin(),
                                   message.required_signatures().end()};
  if (message.has_max_unmanaged_vms()) {
    reference.max_unmanaged_vms = message.max_unmanaged_vms();
  }
  return absl::OkStatus();
}

}  // namespace

v1::ReferenceDocument ToMessage(const Reference& reference) {
  v1::ReferenceDocument message;
  SetHeader(reference.header, *message.mutable_header());
  message.set_name(reference.name);
  message.set_revision(reference.revision);
  for (const std::string& uuid : reference.vm_uuids) {
    message.add_vm_uuids(uuid);
  }
  message.set_mode(
      static_cast<v1::GateMode>(static_cast<int>(reference.mode) + 1));
  SetConfig(reference, *message.mutable_config());
  if (DemandsOfHost(reference)) {
    SetHost(reference, *message.mutable_host());
  }
  // One encoding of each value: the default is not written.
  if (reference.verdict_seconds != kDefaultVerdictSeconds) {
    message.set_verdict_seconds(reference.verdict_seconds);
  }
  message.set_comment(reference.comment);
  message.set_disk_continuity(reference.disk_continuity);
  message.set_accept_unrecorded_disks(reference.accept_unrecorded_disks);
  message.set_strict_start(reference.strict_start);
  return message;
}

absl::StatusOr<Reference> FromMessage(const v1::ReferenceDocument& message) {
  Reference reference;
  ASSIGN_OR_RETURN(reference.header, FromHeader(message.header()));
  reference.name = message.name();
  reference.revision = message.revision();
  reference.vm_uuids = {message.vm_uuids().begin(), message.vm_uuids().end()};
  if (message.mode() < v1::GATE_MODE_ENFORCE ||
      message.mode() > v1::GATE_MODE_LEARN) {
    return Malformed("mode", "must be enforce, warn or learn");
  }
  reference.mode = static_cast<GateMode>(static_cast<int>(message.mode()) - 1);
  RETURN_IF_ERROR(FromConfig(message.config(), reference));
  RETURN_IF_ERROR(FromHost(message.host(), reference));
  reference.verdict_seconds = message.verdict_seconds() == 0
                                  ? kDefaultVerdictSeconds
                                  : message.verdict_seconds();
  reference.comment = message.comment();
  reference.disk_continuity = message.disk_continuity();
  reference.accept_unrecorded_disks = message.accept_unrecorded_disks();
  reference.strict_start = message.strict_start();
  return reference;
}

Bytes Encode(const Reference& reference) {
  return wire::Serialize(ToMessage(reference));
}

absl::StatusOr<Reference> Parse(ByteView payload) {
  v1::ReferenceDocument message;
  RETURN_IF_ERROR(
      wire::ParseMessage(payload, kMaxPayload, "ReferenceDocument", message));
  ASSIGN_OR_RETURN(Reference reference, FromMessage(message));
  RETURN_IF_ERROR(
      wire::CheckCanonical(payload, Encode(reference), "ReferenceDocument"));
  RETURN_IF_ERROR(CheckHeader(reference.header));
  RETURN_IF_ERROR(CheckBody(reference));
  return reference;
}

}  // namespace vmattest::reference
