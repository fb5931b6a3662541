#include "support/host_log_evidence.h"

#include "crypto/digest.h"
#include "evidence/envelope.h"
#include "wire/codec.h"

namespace vmattest::testing {
namespace {

constexpr uint32_t kAuthWrite = 1u << 2;
constexpr uint32_t kOwnerRead = 1u << 17;
constexpr uint32_t kAuthRead = 1u << 18;
constexpr uint32_t kNoDa = 1u << 25;

}  // namespace

Bytes EncodeNvPublic(const evidence::NvPublic& index) {
  ByteWriter area;
  area.U32(index.index).U16(index.name_algorithm).U32(index.attributes);
  area.U16(static_cast<uint16_t>(index.auth_policy.size()))
      .Raw(index.auth_policy)
      .U16(index.data_size);
  ByteWriter sized;
  sized.U16(static_cast<uint16_t>(area.bytes().size())).Raw(area.bytes());
  return std::move(sized).Take();
}

evidence::NvPublic LogIndex() {
  return {.index = 0x01800013,
          .name_algorithm = kTpmAlgIdSha256,
          .attributes = kAuthWrite | kAuthRead | kOwnerRead | kNoDa |
                        evidence::kNvWritten,
          .data_size = 40};
}

HostLogEvidence::HostLogEvidence(const SoftHost& host, HashAlgorithm bank)
    : log(HostLogBuilder::TwoBoots(bank)),
      boot_log(BootLogWriter::Sound(*TpmAlgorithmOf(bank))),
      builder(host),
      host_(host) {
  builder.header.vm_uuid.clear();
  builder.header.vm_name.clear();
  builder.pcrs.bank = *TpmAlgorithmOf(bank);
}

evidence::HostIdentity HostLogEvidence::Identity() const {
  evidence::HostIdentity identity = host_.Identity();
  identity.log_index = EncodeNvPublic(index);
  return identity;
}

evidence::AnchorCertification HostLogEvidence::Certify() const {
  const SoftKey& key = anchor_key != nullptr ? *anchor_key : host_.ak;
  const eventlog::LogHead head = anchored.value_or(log.head());
  ByteWriter contents;
  contents.U64(head.size).Raw(head.head);
  const Bytes nv_public = EncodeNvPublic(index);
  evidence::Attest info;
  info.magic = evidence::kTpmGenerated;
  info.type = evidence::kTpmStAttestNv;
  info.qualified_signer = host_.ak.qualified_name();
  info.extra_data = evidence::LogAnchorQualifyingData(builder.header.nonce);
  info.clock = certified_at;
  info.firmware_version = 0x2024'0123'0000'0000;
  info.nv_index_name = evidence::ParseNvPublic(nv_public)->name;
  info.nv_contents = contents.bytes();
  if (edit_anchor) {
    edit_anchor(info);
  }
  evidence::AnchorCertification anchor;
  anchor.nv_public = nv_public;
  anchor.certify_info = EncodeAttest(info);
  anchor.signature = key.Sign(anchor.certify_info);
  return anchor;
}

eventlog::Bundle HostLogEvidence::Build() const {
  evidence::HostLogStatement statement;
  statement.header = builder.header;
  statement.header.host = evidence::HostState{.log_size = log.head().size,
                                              .log_head = log.head().head};
  statement.log_pcr = HostLogBuilder::kPcr;
  statement.boot_record = log.boot_record();
  statement.anchor = Certify();
  statement.boot_log_size = boot_log.log().size();
  if (!boot_log.log().empty()) {
    statement.boot_log_digest = Hash(HashAlgorithm::kSha256, boot_log.log());
  }
  if (edit_statement) {
    edit_statement(statement);
  }
  EvidenceBuilder sealer = builder;
  for (const auto& [index_of, value] : boot_log.pcrs()) {
    sealer.pcrs.values[index_of] = value;
  }
  sealer.pcrs.values[HostLogBuilder::kPcr] = log.pcr();
  eventlog::Bundle bundle;
  bundle.evidence = wire::EncodeEvidence(
      sealer.Seal(std::string(evidence::kHostLogPayloadType),
                  wire::EncodeHostLogStatement(statement)));
  bundle.boot_log = boot_log.log();
  bundle.records = log.records;
  return bundle;
}

}  // namespace vmattest::testing
