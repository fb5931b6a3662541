#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include "wire/codec.h"
#include "wire/messages.h"

namespace vmattest::wire {
namespace {

constexpr std::string_view kFormat = "vmattest/host-identity/v1";
constexpr int kMaxKeys = 256;

v1::HostIdentity ToMessage(const evidence::HostIdentity& identity) {
  v1::HostIdentity message;
  message.set_format(std::string(kFormat));
  message.set_host_id(identity.host_id);
  message.set_ek_public(ToField(identity.ek_public));
  message.set_ek_certificate(ToField(identity.ek_certificate));
  message.set_ak_public(ToField(identity.ak_public));
  message.set_hostname(identity.hostname);
  message.set_module_version(identity.module_version);
  for (const evidence::KeyCertification& key : identity.keys) {
    *message.add_keys() = wire::ToMessage(key);
  }
  for (const evidence::KeyRevocation& revocation : identity.revocations) {
    *message.add_revocations() = wire::ToMessage(revocation);
  }
  for (const evidence::PqKey& key : identity.pq_keys) {
    *message.add_pq_keys() = wire::ToMessage(key);
  }
  message.set_seal_authority(ToField(identity.seal_authority));
  message.set_log_index(ToField(identity.log_index));
  return message;
}

absl::StatusOr<evidence::HostIdentity> FromMessage(
    const v1::HostIdentity& message) {
  if (message.format() != kFormat) {
    return Malformed(
        "HostIdentity.format",
        fmt::format("'{}', expected '{}'", message.format(), kFormat));
  }
  for (const auto& [field, count] :
       {std::pair("HostIdentity.keys", message.keys_size()),
        std::pair("HostIdentity.revocations", message.revocations_size()),
        std::pair("HostIdentity.pq_keys", message.pq_keys_size())}) {
    if (count > kMaxKeys) {
      return Malformed(
          field, fmt::format("{}, at most {} are allowed", count, kMaxKeys));
    }
  }
  evidence::HostIdentity identity;
  identity.host_id = message.host_id();
  identity.ek_public = FromField(message.ek_public());
  identity.ek_certificate = FromField(message.ek_certificate());
  identity.ak_public = FromField(message.ak_public());
  identity.hostname = message.hostname();
  identity.module_version = message.module_version();
  for (const v1::KeyCertification& key : message.keys()) {
    ASSIGN_OR_RETURN(evidence::KeyCertification parsed, wire::FromMessage(key));
    identity.keys.push_back(std::move(parsed));
  }
  for (const v1::KeyRevocation& revocation : message.revocations()) {
    ASSIGN_OR_RETURN(evidence::KeyRevocation parsed,
                     wire::FromMessage(revocation));
    identity.revocations.push_back(std::move(parsed));
  }
  for (const v1::PqKey& key : message.pq_keys()) {
    ASSIGN_OR_RETURN(evidence::PqKey parsed, wire::FromMessage(key));
    identity.pq_keys.push_back(std::move(parsed));
  }
  identity.seal_authority = FromField(message.seal_authority());
  identity.log_index = FromField(message.log_index());
  return identity;
}

}  // namespace

Bytes EncodeHostIdentity(const evidence::HostIdentity& identity) {
  return Serialize(ToMessage(identity));
}

absl::StatusOr<evidence::HostIdentity> ParseHostIdentity(ByteView bytes) {
  v1::HostIdentity message;
  RETURN_IF_ERROR(
      ParseMessage(bytes, kMaxHostIdentitySize, "HostIdentity", message));
  ASSIGN_OR_RETURN(evidence::HostIdentity identity, FromMessage(message));
  RETURN_IF_ERROR(
      CheckCanonical(bytes, EncodeHostIdentity(identity), "HostIdentity"));
  return identity;
}

std::string HostIdentityToJson(const evidence::HostIdentity& identity) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for invalid UTF-8, which no identity that was parsed holds; the
  // empty text is refused by whoever reads it.
  if (!google::protobuf::util::MessageToJsonString(ToMessage(identity), &json,
                                                   options)
           .ok()) {
    json.clear();
  }
  return json;
}

absl::StatusOr<evidence::HostIdentity> HostIdentityFromJson(
    std::string_view json) {
  if (json.size() > 2 * kMaxHostIdentitySize) {
    return Malformed("HostIdentity",
                     fmt::format("{} bytes of JSON, at most {} are allowed",
                                 json.size(), 2 * kMaxHostIdentitySize));
  }
  const google::protobuf::LogSilencer silence;
  v1::HostIdentity message;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &message);
  if (!parsed.ok()) {
    return Malformed("HostIdentity", "not JSON of a host identity: " +
                                         std::string(parsed.message()));
  }
  return FromMessage(message);
}

}  // namespace vmattest::wire
