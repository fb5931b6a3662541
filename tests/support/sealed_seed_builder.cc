#include "support/sealed_seed_builder.h"

#include "crypto/digest.h"
#include "evidence/seal_policy.h"

namespace vmattest::testing {
namespace {

void Sized16(ByteWriter& writer, ByteView bytes) {
  writer.U16(static_cast<uint16_t>(bytes.size())).Raw(bytes);
}

Bytes Tpm2b(const ByteWriter& content) {
  ByteWriter writer;
  Sized16(writer, content.bytes());
  return std::move(writer).Take();
}

}  // namespace

SealedSeedBuilder::SealedSeedBuilder(const SoftHost& host, Bytes authority_name)
    : host_(host), authority_name_(std::move(authority_name)) {}

evidence::PqKey SealedSeedBuilder::Build() const {
  evidence::PqKey key;
  key.algorithm = algorithm;
  key.purpose = purpose;
  key.epoch = epoch;
  key.public_key = public_key;
  ByteWriter area;
  area.U16(type).U16(kTpmAlgSha256).U32(attributes);
  Sized16(area, policy.empty() ? evidence::SealAuthPolicy(
                                     authority_name_, host_.host_id(), purpose)
                               : policy);
  area.U16(kTpmAlgNull);
  Sized16(area, Bytes(32, 0x11));
  key.sealed_public = Tpm2b(area);
  ByteWriter creation;
  creation.U32(static_cast<uint32_t>(creation_pcrs.size()));
  for (const evidence::PcrSelection& selection : creation_pcrs) {
    Bytes bitmap(3, 0);
    for (const uint32_t index : selection.indexes) {
      bitmap.at(index / 8) |= static_cast<uint8_t>(1u << (index % 8));
    }
    creation.U16(selection.bank).U8(3).Raw(bitmap);
  }
  Sized16(creation, Bytes(32, 0x22));
  creation.U8(1).U16(kTpmAlgSha256);
  Sized16(creation, Bytes(34, 0x33));
  Sized16(creation, Bytes(34, 0x44));
  Sized16(creation,
          outside_info.empty()
              ? evidence::SeedOutsideInfo(algorithm, purpose, epoch, public_key)
              : outside_info);
  key.creation_data = Tpm2b(creation);
  evidence::Attest attest;
  attest.magic = evidence::kTpmGenerated;
  attest.type = evidence::kTpmStAttestCreation;
  attest.qualified_signer = host_.ak.qualified_name();
  attest.extra_data =
      evidence::SeedQualifyingData(algorithm, purpose, epoch, public_key);
  attest.clock = host_.provisioned_at;
  attest.created_name = evidence::NameOf(key.sealed_public).value();
  attest.creation_hash = Hash(HashAlgorithm::kSha256, creation.bytes());
  if (edit_attest) {
    edit_attest(attest);
  }
  key.certify_info = EncodeAttest(attest);
  key.signature = host_.ak.Sign(key.certify_info);
  return key;
}

}  // namespace vmattest::testing
