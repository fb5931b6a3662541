#include <fmt/format.h>

#include "wire/codec.h"
#include "wire/messages.h"

namespace vmattest::wire {
namespace {

constexpr std::string_view kFormat = "vmattest/disclosure/v1";
constexpr size_t kMaxLeaves = 64;
constexpr size_t kMaxKeys = 4;
constexpr size_t kMaxPath = 64;

v1::DisclosedLeaf ToMessage(const evidence::DisclosedLeaf& leaf) {
  v1::DisclosedLeaf message;
  *message.mutable_leaf() = wire::ToMessage(leaf.leaf);
  message.set_salt(ToField(leaf.salt));
  message.set_index(leaf.index);
  for (const DigestBytes& sibling : leaf.path) {
    message.add_path(ToField(sibling));
  }
  if (!leaf.parent.empty()) {
    *message.mutable_parent() = ToMessage(leaf.parent.front());
  }
  return message;
}

absl::StatusOr<evidence::DisclosedLeaf> FromMessage(
    const v1::DisclosedLeaf& message, bool may_have_parent) {
  RETURN_IF_ERROR(
      CheckCount("DisclosedLeaf.path", message.path_size(), kMaxPath));
  evidence::DisclosedLeaf leaf;
  ASSIGN_OR_RETURN(leaf.leaf, wire::FromMessage(message.leaf()));
  leaf.salt = FromField(message.salt());
  leaf.index = message.index();
  for (const std::string& sibling : message.path()) {
    leaf.path.push_back(FromField(sibling));
  }
  if (message.has_parent()) {
    if (!may_have_parent) {
      return Malformed("DisclosedLeaf.parent", "has a parent itself");
    }
    ASSIGN_OR_RETURN(evidence::DisclosedLeaf parent,
                     FromMessage(message.parent(), false));
    leaf.parent.push_back(std::move(parent));
  }
  return leaf;
}

}  // namespace

bool IsDisclosure(ByteView bytes) {
  v1::Disclosure tag;
  tag.set_format(std::string(kFormat));
  return AsText(bytes).starts_with(AsText(Serialize(tag)));
}

Bytes EncodeDisclosure(const evidence::Disclosure& disclosure) {
  v1::Disclosure message;
  message.set_format(std::string(kFormat));
  *message.mutable_envelope() = ToMessage(disclosure.envelope);
  for (const evidence::KeyCertification& key : disclosure.keys) {
    *message.add_keys() = ToMessage(key);
  }
  for (const evidence::DisclosedLeaf& leaf : disclosure.leaves) {
    *message.add_leaves() = ToMessage(leaf);
  }
  return Serialize(message);
}

absl::StatusOr<evidence::Disclosure> ParseDisclosure(ByteView bytes) {
  v1::Disclosure message;
  RETURN_IF_ERROR(
      ParseMessage(bytes, kMaxDisclosureSize, "Disclosure", message));
  if (message.format() != kFormat) {
    return Malformed(
        "Disclosure.format",
        fmt::format("'{}', expected '{}'", message.format(), kFormat));
  }
  RETURN_IF_ERROR(
      CheckCount("Disclosure.leaves", message.leaves_size(), kMaxLeaves));
  RETURN_IF_ERROR(CheckCount("Disclosure.keys", message.keys_size(), kMaxKeys));
  evidence::Disclosure disclosure;
  ASSIGN_OR_RETURN(disclosure.envelope, FromMessage(message.envelope()));
  for (const v1::KeyCertification& key : message.keys()) {
    ASSIGN_OR_RETURN(evidence::KeyCertification parsed, FromMessage(key));
    disclosure.keys.push_back(std::move(parsed));
  }
  for (const v1::DisclosedLeaf& leaf : message.leaves()) {
    ASSIGN_OR_RETURN(evidence::DisclosedLeaf parsed, FromMessage(leaf, true));
    disclosure.leaves.push_back(std::move(parsed));
  }
  RETURN_IF_ERROR(
      CheckCanonical(bytes, EncodeDisclosure(disclosure), "Disclosure"));
  return disclosure;
}

}  // namespace vmattest::wire
