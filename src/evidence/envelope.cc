#include "evidence/envelope.h"

#include <fmt/format.h>

#include "crypto/digest.h"
#include "evidence/ledger_key.h"
#include "merkle/tree.h"

namespace vmattest::evidence {
namespace {

constexpr std::string_view kDsseTag = "DSSEv1";
constexpr std::string_view kBatchLeafTag = "vmattest/batch-leaf/v1";
constexpr std::string_view kQuoteTag = "vmattest/quote/v1";
constexpr std::string_view kCertifyTag = "vmattest/certify/v1";
constexpr std::string_view kRevokeTag = "vmattest/revoke/v1";
constexpr std::string_view kLogAnchorTag = "vmattest/log-anchor/v1";

ByteWriter Tagged(std::string_view tag, KeyPurpose purpose) {
  ByteWriter writer;
  writer.Raw(tag).U8(0).Raw(ToString(purpose)).U8(0);
  return writer;
}

}  // namespace

Bytes PreAuthEncoding(std::string_view payload_type, ByteView payload) {
  ByteWriter writer;
  writer.Raw(fmt::format("{} {} {} {} ", kDsseTag, payload_type.size(),
                         payload_type, payload.size()));
  writer.Raw(payload);
  return std::move(writer).Take();
}

DigestBytes BatchLeaf(ByteView pae_digest) {
  ByteWriter writer;
  writer.Raw(kBatchLeafTag).Raw(pae_digest);
  return merkle::LeafHash(HashAlgorithm::kSha256, writer.bytes());
}

DigestBytes QualifyingData(KeyPurpose purpose, ByteView batch_root,
                           uint64_t batch_size) {
  ByteWriter writer = Tagged(kQuoteTag, purpose);
  writer.Raw(batch_root).U64(batch_size);
  return Hash(HashAlgorithm::kSha256, writer.bytes());
}

DigestBytes CertifyQualifyingData(KeyPurpose purpose, uint32_t epoch) {
  ByteWriter writer = Tagged(kCertifyTag, purpose);
  writer.U32(epoch);
  return Hash(HashAlgorithm::kSha256, writer.bytes());
}

DigestBytes RevokeQualifyingData(KeyPurpose purpose, uint32_t epoch) {
  ByteWriter writer = Tagged(kRevokeTag, purpose);
  writer.U32(epoch);
  return Hash(HashAlgorithm::kSha256, writer.bytes());
}

DigestBytes LogAnchorQualifyingData(ByteView nonce) {
  ByteWriter writer;
  writer.Raw(kLogAnchorTag).U8(0).Raw(nonce);
  return Hash(HashAlgorithm::kSha256, writer.bytes());
}

absl::StatusOr<KeyPurpose> PurposeOf(std::string_view payload_type) {
  if (payload_type == kConfigPayloadType ||
      payload_type == kHostLogPayloadType) {
    return KeyPurpose::kConfig;
  }
  if (payload_type == kStatePayloadType) {
    return KeyPurpose::kState;
  }
  if (payload_type == kLedgerKeyPayloadType) {
    return KeyPurpose::kLedger;
  }
  return absl::NotFoundError(
      fmt::format("no such payload type: '{}'", payload_type));
}

}  // namespace vmattest::evidence
