#include "wire/messages.h"

#include <fmt/format.h>

#include <algorithm>

namespace vmattest::wire {

absl::Status Malformed(std::string_view element, std::string_view problem) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", element, problem));
}

absl::Status ParseMessage(ByteView bytes, size_t max_size,
                          std::string_view what,
                          google::protobuf::Message& message) {
  if (bytes.size() > max_size) {
    return Malformed(what, fmt::format("{} bytes, at most {} are allowed",
                                       bytes.size(), max_size));
  }
  // Else libprotobuf writes a line to stderr for text that is not UTF-8.
  const google::protobuf::LogSilencer silence;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Malformed(what,
                     "not a well-formed message (truncated, or text "
                     "that is not UTF-8)");
  }
  return absl::OkStatus();
}

Bytes Serialize(const google::protobuf::Message& message) {
  // Messages of ours hold no maps, so the field order is the only order.
  const google::protobuf::LogSilencer silence;
  Bytes bytes(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(bytes.data());
  return bytes;
}

absl::Status CheckCanonical(ByteView bytes, ByteView canonical,
                            std::string_view what) {
  const auto differ = std::mismatch(bytes.begin(), bytes.end(),
                                    canonical.begin(), canonical.end());
  if (differ.first == bytes.end() && differ.second == canonical.end()) {
    return absl::OkStatus();
  }
  return Malformed(
      what, fmt::format("not the canonical encoding from byte {} on (unknown, "
                        "repeated or misplaced field)",
                        differ.first - bytes.begin()));
}

namespace {

absl::StatusOr<KeyPurpose> PurposeFrom(v1::KeyPurpose purpose) {
  if (purpose < v1::KEY_PURPOSE_CONFIG ||
      purpose > v1::KEY_PURPOSE_AUTHORIZATION) {
    return Malformed("key purpose",
                     fmt::format("{} is unknown", static_cast<int>(purpose)));
  }
  return static_cast<KeyPurpose>(purpose);
}

}  // namespace

v1::KeyCertification ToMessage(const evidence::KeyCertification& key) {
  v1::KeyCertification message;
  message.set_purpose(static_cast<v1::KeyPurpose>(key.purpose));
  message.set_epoch(key.epoch);
  message.set_public_area(ToField(key.public_area));
  message.set_certify_info(ToField(key.certify_info));
  message.set_signature(ToField(key.signature));
  return message;
}

absl::StatusOr<evidence::KeyCertification> FromMessage(
    const v1::KeyCertification& message) {
  evidence::KeyCertification key;
  ASSIGN_OR_RETURN(key.purpose, PurposeFrom(message.purpose()));
  key.epoch = message.epoch();
  key.public_area = FromField(message.public_area());
  key.certify_info = FromField(message.certify_info());
  key.signature = FromField(message.signature());
  return key;
}

v1::KeyRevocation ToMessage(const evidence::KeyRevocation& revocation) {
  v1::KeyRevocation message;
  message.set_purpose(static_cast<v1::KeyPurpose>(revocation.purpose));
  message.set_epoch(revocation.epoch);
  message.set_key_name(ToField(revocation.key_name));
  message.set_certify_info(ToField(revocation.certify_info));
  message.set_signature(ToField(revocation.signature));
  return message;
}

absl::StatusOr<evidence::KeyRevocation> FromMessage(
    const v1::KeyRevocation& message) {
  evidence::KeyRevocation revocation;
  ASSIGN_OR_RETURN(revocation.purpose, PurposeFrom(message.purpose()));
  revocation.epoch = message.epoch();
  revocation.key_name = FromField(message.key_name());
  revocation.certify_info = FromField(message.certify_info());
  revocation.signature = FromField(message.signature());
  return revocation;
}

v1::PqKey ToMessage(const evidence::PqKey& key) {
  v1::PqKey message;
  message.set_algorithm(key.algorithm);
  message.set_purpose(static_cast<v1::KeyPurpose>(key.purpose));
  message.set_epoch(key.epoch);
  message.set_public_key(ToField(key.public_key));
  message.set_sealed_public(ToField(key.sealed_public));
  message.set_creation_data(ToField(key.creation_data));
  message.set_certify_info(ToField(key.certify_info));
  message.set_signature(ToField(key.signature));
  return message;
}

absl::StatusOr<evidence::PqKey> FromMessage(const v1::PqKey& message) {
  evidence::PqKey key;
  key.algorithm = message.algorithm();
  ASSIGN_OR_RETURN(key.purpose, PurposeFrom(message.purpose()));
  key.epoch = message.epoch();
  key.public_key = FromField(message.public_key());
  key.sealed_public = FromField(message.sealed_public());
  key.creation_data = FromField(message.creation_data());
  key.certify_info = FromField(message.certify_info());
  key.signature = FromField(message.signature());
  return key;
}

}  // namespace vmattest::wire
