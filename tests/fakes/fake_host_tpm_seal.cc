#include <fmt/format.h>

#include <utility>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "fakes/fake_host_tpm.h"

// The fake TPM's sealed seeds. The seed itself stays in memory: the private
// area is a ticket for it.

namespace vmattest::testing {
namespace {

constexpr uint16_t kTpmAlgKeyedHash = 0x0008;
constexpr uint32_t kFirstPcrOutsideTheSeal = 8;
// fixedTPM, fixedParent, adminWithPolicy, noDA; userWithAuth is clear.
constexpr uint32_t kSealedAttributes = 0x00000492;
constexpr uint32_t kSealCounterIndex = 0x01C10F02;
// COUNTER, OWNERWRITE, AUTHWRITE, OWNERREAD, AUTHREAD, NO_DA, WRITTEN.
constexpr uint32_t kSealCounterAttributes = 0x22060016;
constexpr uint16_t kCounterSize = 8;

ByteWriter& Sized16(ByteWriter& writer, ByteView bytes) {
  return writer.U16(static_cast<uint16_t>(bytes.size())).Raw(bytes);
}

Bytes Tpm2b(ByteView bytes) {
  ByteWriter writer;
  Sized16(writer, bytes);
  return std::move(writer).Take();
}

// TPMT_PUBLIC of a sealed data object.
Bytes SealedPublic(ByteView policy, ByteView unique) {
  ByteWriter area;
  area.U16(kTpmAlgKeyedHash).U16(kTpmAlgSha256).U32(kSealedAttributes);
  Sized16(area, policy).U16(kTpmAlgNull);
  Sized16(area, unique);
  return Tpm2b(area.bytes());
}

// TPMS_CREATION_DATA, in its TPM2B.
Bytes CreationData(const PcrValues& pcrs, const SoftKey& parent,
                   ByteView outside_info) {
  Bytes bitmap(3, 0);
  ByteWriter values;
  for (const auto& [index, value] : pcrs.values) {
    bitmap.at(index / 8) |= static_cast<uint8_t>(1u << (index % 8));
    values.Raw(value);
  }
  ByteWriter data;
  data.U32(1).U16(pcrs.bank).U8(3).Raw(bitmap);
  Sized16(data, Hash(HashAlgorithm::kSha256, values.bytes()));
  data.U8(1).U16(kTpmAlgSha256);  // locality zero
  Sized16(data, parent.name());
  Sized16(data, parent.qualified_name());
  Sized16(data, outside_info);
  return Tpm2b(data.bytes());
}

}  // namespace

PcrValues FakeHostTpm::BootPcrs() const {
  PcrValues boot{.bank = pcrs_.bank, .values = {}};
  for (const auto& [index, value] : pcrs_.values) {
    if (index < kFirstPcrOutsideTheSeal) {
      boot.values[index] = value;
    }
  }
  return boot;
}

Bytes FakeHostTpm::SealCounterName() const {
  ByteWriter area;
  area.U32(kSealCounterIndex)
      .U16(kTpmAlgSha256)
      .U32(kSealCounterAttributes)
      .U16(0)
      .U16(kCounterSize);
  ByteWriter name;
  name.U16(kTpmAlgSha256).Raw(Hash(HashAlgorithm::kSha256, area.bytes()));
  return std::move(name).Take();
}

absl::StatusOr<tpm::SealRegisters> FakeHostTpm::ReadSealRegisters() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  return tpm::SealRegisters{.pcrs = BootPcrs(),
                            .counter = seal_counter_,
                            .counter_name = SealCounterName()};
}

absl::StatusOr<tpm::SealedSeed> FakeHostTpm::SealSeed(
    std::string_view algorithm, KeyPurpose purpose, uint32_t epoch,
    ByteView public_key, const SecretBytes& seed, ByteView authority) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  const SoftHost& host = *hosts_.back();
  ASSIGN_OR_RETURN(const Bytes authority_name, evidence::NameOf(authority));
  const DigestBytes outside =
      evidence::SeedOutsideInfo(algorithm, purpose, epoch, public_key);
  tpm::SealedSeed sealed;
  sealed.private_area = Tpm2b(Hash(HashAlgorithm::kSha256, outside));
  seeds_[sealed.private_area] = ToBytes(seed.Reveal(SecretAccess()));
  evidence::PqKey& key = sealed.key;
  key.algorithm = algorithm;
  key.purpose = purpose;
  key.epoch = epoch;
  key.public_key = ToBytes(public_key);
  key.sealed_public = SealedPublic(
      evidence::SealAuthPolicy(authority_name, host.host_id(), purpose),
      Hash(HashAlgorithm::kSha256, sealed.private_area));
  key.creation_data = CreationData(BootPcrs(), host.ek, outside);
  evidence::Attest info = AttestBy(
      host.ak, evidence::kTpmStAttestCreation,
      evidence::SeedQualifyingData(algorithm, purpose, epoch, public_key));
  ASSIGN_OR_RETURN(info.created_name, evidence::NameOf(key.sealed_public));
  info.creation_hash =
      Hash(HashAlgorithm::kSha256, ByteView(key.creation_data).subspan(2));
  key.certify_info = EncodeAttest(info);
  key.signature = host.ak.Sign(key.certify_info);
  return sealed;
}

absl::Status FakeHostTpm::Fits(const evidence::SealApproval& approval,
                               KeyPurpose purpose, ByteView authority) const {
  ASSIGN_OR_RETURN(const auto signature,
                   evidence::ParseEcdsaSignature(approval.signature));
  ASSIGN_OR_RETURN(const auto area, evidence::ParseEccPublic(authority));
  ASSIGN_OR_RETURN(const DigestBytes digest,
                   evidence::ApprovalDigest(approval));
  if (approval.host_id != hosts_.back()->host_id() ||
      approval.purpose != purpose ||
      approval.counter_name != SealCounterName() ||
      !VerifyEcdsa(area.key, digest, signature.r, signature.s)) {
    return absl::PermissionDeniedError("an approval of something else");
  }
  if (approval.counter_limit < seal_counter_) {
    return absl::PermissionDeniedError(
        fmt::format("unapproved boot: the approval was revoked (limit {}, "
                    "counter {})",
                    approval.counter_limit, seal_counter_));
  }
  const PcrValues now = BootPcrs();
  for (const auto& [index, value] : approval.pcrs.values) {
    const auto current = now.values.find(index);
    if (current == now.values.end() || current->second != value) {
      return absl::PermissionDeniedError(fmt::format(
          "unapproved boot: PCR {} is {}, approved is {}", index,
          current == now.values.end() ? "missing" : ToHex(current->second),
          ToHex(value)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SecretBytes> FakeHostTpm::UnsealSeed(
    const tpm::SealedSeed& sealed, ByteView authority,
    std::span<const evidence::SealApproval> approvals) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  const auto seed = seeds_.find(sealed.private_area);
  if (seed == seeds_.end()) {
    return absl::FailedPreconditionError("this TPM did not seal that seed");
  }
  absl::Status refused =
      absl::PermissionDeniedError("unapproved boot: no approval is installed");
  for (const evidence::SealApproval& approval : approvals) {
    refused = Fits(approval, sealed.key.purpose, authority);
    if (refused.ok()) {
      return SecretBytes(Bytes(seed->second));
    }
  }
  return refused;
}

absl::StatusOr<uint64_t> FakeHostTpm::RevokeApprovals() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  return ++seal_counter_;
}

}  // namespace vmattest::testing
