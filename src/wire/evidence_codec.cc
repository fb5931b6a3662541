#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <limits>

#include "wire/codec.h"
#include "wire/messages.h"

namespace vmattest::wire {
namespace {

using google::protobuf::internal::WireFormatLite;

constexpr std::string_view kFormat = "vmattest/evidence/v1";
// What bounds the memory that a hostile file can cost: protobuf spends some
// 50 bytes on an element that takes 2 in the file.
constexpr size_t kMaxEnvelopeSize = 2u << 20;
constexpr size_t kMaxLeaves = 1u << 17;  // those of subtrees included
constexpr size_t kMaxKeys = 64;
constexpr size_t kMaxSubtrees = 1024;

struct OuterCounts {
  size_t keys = 0;
  size_t leaves = 0;
  size_t subtrees = 0;
};

// The next field's number and size; false at the end or where it is malformed.
bool NextField(google::protobuf::io::CodedInputStream& input, int* field,
               uint32_t* size) {
  const uint32_t tag = input.ReadTag();
  if (tag == 0 ||
      WireFormatLite::GetTagWireType(tag) !=
          WireFormatLite::WIRETYPE_LENGTH_DELIMITED ||
      !input.ReadVarint32(size) ||
      *size > static_cast<uint32_t>(std::numeric_limits<int>::max())) {
    return false;
  }
  *field = WireFormatLite::GetTagFieldNumber(tag);
  return true;
}

absl::Status CountLeaf(OuterCounts& counts) {
  return CheckCount("Evidence.leaves", ++counts.leaves, kMaxLeaves);
}

absl::Status CountSubtree(google::protobuf::io::CodedInputStream& input,
                          uint32_t size, OuterCounts& counts) {
  RETURN_IF_ERROR(
      CheckCount("Evidence.subtrees", ++counts.subtrees, kMaxSubtrees));
  const auto limit = input.PushLimit(static_cast<int>(size));
  int field = 0;
  uint32_t inner = 0;
  while (input.BytesUntilLimit() > 0) {
    if (!NextField(input, &field, &inner) ||
        !input.Skip(static_cast<int>(inner))) {
      return Malformed("Evidence.subtrees", "truncated");
    }
    if (field == v1::LeafSubtree::kLeavesFieldNumber) {
      RETURN_IF_ERROR(CountLeaf(counts));
    }
  }
  input.PopLimit(limit);
  return absl::OkStatus();
}

// Counts the elements of the outer message before any of them costs memory.
absl::Status CheckOuterSizes(ByteView bytes) {
  google::protobuf::io::CodedInputStream input(bytes.data(),
                                               static_cast<int>(bytes.size()));
  OuterCounts counts;
  while (static_cast<size_t>(input.CurrentPosition()) < bytes.size()) {
    int field = 0;
    uint32_t size = 0;
    if (!NextField(input, &field, &size)) {
      return Malformed("Evidence", "truncated, or not an evidence file");
    }
    if (field == v1::Evidence::kSubtreesFieldNumber) {
      RETURN_IF_ERROR(CountSubtree(input, size, counts));
      continue;
    }
    if (!input.Skip(static_cast<int>(size))) {
      return Malformed("Evidence", "truncated, or not an evidence file");
    }
    if (field == v1::Evidence::kEnvelopeFieldNumber) {
      RETURN_IF_ERROR(CheckCount("Evidence.envelope", size, kMaxEnvelopeSize));
    } else if (field == v1::Evidence::kKeysFieldNumber) {
      RETURN_IF_ERROR(CheckCount("Evidence.keys", ++counts.keys, kMaxKeys));
    } else if (field == v1::Evidence::kLeavesFieldNumber) {
      RETURN_IF_ERROR(CountLeaf(counts));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ConfigLeaf>> LeavesFrom(
    const google::protobuf::RepeatedPtrField<v1::ConfigLeaf>& messages) {
  std::vector<ConfigLeaf> leaves;
  leaves.reserve(messages.size());
  for (const v1::ConfigLeaf& message : messages) {
    ASSIGN_OR_RETURN(ConfigLeaf leaf, FromMessage(message));
    leaves.push_back(std::move(leaf));
  }
  return leaves;
}

}  // namespace

Bytes EncodeEvidence(const evidence::Evidence& evidence) {
  v1::Evidence message;
  message.set_format(std::string(kFormat));
  *message.mutable_envelope() = ToMessage(evidence.envelope);
  for (const evidence::KeyCertification& key : evidence.keys) {
    *message.add_keys() = ToMessage(key);
  }
  for (const ConfigLeaf& leaf : evidence.leaves) {
    *message.add_leaves() = ToMessage(leaf);
  }
  for (const ConfigSubtree& subtree : evidence.subtrees) {
    v1::LeafSubtree& added = *message.add_subtrees();
    added.set_path(subtree.path);
    for (const ConfigLeaf& leaf : subtree.leaves) {
      *added.add_leaves() = ToMessage(leaf);
    }
  }
  message.set_vm_salt(ToField(evidence.vm_salt));
  return Serialize(message);
}

absl::StatusOr<evidence::Evidence> ParseEvidence(ByteView bytes) {
  if (bytes.size() <= kMaxEvidenceSize) {
    RETURN_IF_ERROR(CheckOuterSizes(bytes));
  }
  v1::Evidence message;
  RETURN_IF_ERROR(ParseMessage(bytes, kMaxEvidenceSize, "Evidence", message));
  if (message.format() != kFormat) {
    return Malformed("Evidence.format", fmt::format("'{}', expected '{}'",
                                                    message.format(), kFormat));
  }
  evidence::Evidence evidence;
  ASSIGN_OR_RETURN(evidence.envelope, FromMessage(message.envelope()));
  for (const v1::KeyCertification& key : message.keys()) {
    ASSIGN_OR_RETURN(evidence::KeyCertification parsed, FromMessage(key));
    evidence.keys.push_back(std::move(parsed));
  }
  ASSIGN_OR_RETURN(evidence.leaves, LeavesFrom(message.leaves()));
  for (const v1::LeafSubtree& subtree : message.subtrees()) {
    ASSIGN_OR_RETURN(std::vector<ConfigLeaf> leaves,
                     LeavesFrom(subtree.leaves()));
    evidence.subtrees.push_back({subtree.path(), std::move(leaves)});
  }
  evidence.vm_salt = FromField(message.vm_salt());
  RETURN_IF_ERROR(CheckCanonical(bytes, EncodeEvidence(evidence), "Evidence"));
  return evidence;
}

}  // namespace vmattest::wire
