#include "evidence/seal_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "crypto/digest.h"
#include "evidence/envelope.h"
#include "evidence/tpm_structures.h"

namespace vmattest::evidence {
namespace {

constexpr std::string_view kPolicyRefTag = "vmattest/seal/v1";
constexpr std::string_view kSeedTag = "vmattest/seed/v1";
constexpr std::string_view kCertifySeedTag = "vmattest/certify-seed/v1";

// TPM_CC (Part 2, 6.5.2), TPM_ALG_ID, TPM_EO (6.8).
constexpr uint32_t kCcPolicyNv = 0x149;
constexpr uint32_t kCcPolicyAuthorize = 0x16A;
constexpr uint32_t kCcPolicyAuthValue = 0x16B;
constexpr uint32_t kCcPolicyPcr = 0x17F;
constexpr uint16_t kAlgSha256 = 0x000B;
constexpr uint16_t kAlgSha384 = 0x000C;
constexpr uint16_t kEoUnsignedLe = 0x0009;

constexpr size_t kDigestSize = 32;
constexpr size_t kNameSize = 2 + kDigestSize;
constexpr uint32_t kImaPcr = 10;
constexpr uint32_t kDebugPcr = 16;  // it and those above can be reset
constexpr size_t kSelectBytes = 3;

constexpr uint32_t kSeedAttributes =
    kObjectFixedTpm | kObjectFixedParent | kObjectAdminWithPolicy | kObjectNoDa;

DigestBytes Sha256(const ByteWriter& content) {
  return Hash(HashAlgorithm::kSha256, content.bytes());
}

std::optional<size_t> BankDigestSize(uint16_t bank) {
  switch (bank) {
    case kAlgSha256:
      return DigestSize(HashAlgorithm::kSha256);
    case kAlgSha384:
      return DigestSize(HashAlgorithm::kSha384);
    default:
      return std::nullopt;
  }
}

absl::Status Wrong(std::string text) {
  return absl::InvalidArgumentError(std::move(text));
}

absl::Status CheckApprovedPcrs(const PcrValues& pcrs) {
  const std::optional<size_t> size = BankDigestSize(pcrs.bank);
  if (!size) {
    return Wrong(
        fmt::format("approval: bank {:#06x} is not supported", pcrs.bank));
  }
  if (pcrs.values.empty()) {
    return Wrong("approval: no PCRs");
  }
  for (const auto& [index, value] : pcrs.values) {
    if (!MaySealTo(index)) {
      return Wrong(fmt::format("approval: PCR {} is not sealed to", index));
    }
    if (value.size() != *size) {
      return Wrong(fmt::format("approval: PCR {} has {} bytes, not {}", index,
                               value.size(), *size));
    }
  }
  return absl::OkStatus();
}

DigestBytes PolicyPcr(const DigestBytes& before, const PcrValues& pcrs) {
  ByteWriter values;
  Bytes bitmap(kSelectBytes, 0);
  for (const auto& [index, value] : pcrs.values) {
    values.Raw(value);
    bitmap[index / 8] |= static_cast<uint8_t>(1u << (index % 8));
  }
  ByteWriter content;
  content.Raw(before).U32(kCcPolicyPcr);
  content.U32(1).U16(pcrs.bank).U8(kSelectBytes).Raw(bitmap);
  content.Raw(Sha256(values));
  return Sha256(content);
}

DigestBytes PolicyNv(const DigestBytes& before, uint64_t limit,
                     ByteView nv_name) {
  ByteWriter arguments;
  arguments.U64(limit).U16(0).U16(kEoUnsignedLe);
  ByteWriter content;
  content.Raw(before).U32(kCcPolicyNv).Raw(Sha256(arguments)).Raw(nv_name);
  return Sha256(content);
}

DigestBytes SeedDigest(std::string_view tag, std::string_view algorithm,
                       KeyPurpose purpose, uint32_t epoch,
                       ByteView public_key) {
  ByteWriter content;
  content.Raw(tag).U8(0).Raw(algorithm).U8(0).Raw(ToString(purpose)).U8(0);
  content.U32(epoch).Raw(public_key);
  return Sha256(content);
}

absl::Status CheckAlgorithm(const PqKey& key) {
  size_t size = 0;
  if (key.algorithm == kMlDsa65Algorithm) {
    size = 1952;  // FIPS 204, table 2
  } else if (key.algorithm == kMlDsa87Algorithm) {
    size = 2592;
  } else {
    return Wrong(fmt::format("algorithm '{}' is none of {} and {}",
                             key.algorithm, kMlDsa65Algorithm,
                             kMlDsa87Algorithm));
  }
  if (key.public_key.size() != size) {
    return Wrong(fmt::format("a public key of {} bytes, {} has {}",
                             key.public_key.size(), key.algorithm, size));
  }
  return absl::OkStatus();
}

absl::Status CheckAttributes(uint32_t attributes) {
  struct Demand {
    uint32_t bit;
    bool set;
    std::string_view name;
  };
  for (const Demand& demand :
       {Demand{kObjectFixedTpm, true, "fixedTPM"},
        Demand{kObjectFixedParent, true, "fixedParent"},
        Demand{kObjectUserWithAuth, false, "userWithAuth"},
        Demand{kObjectAdminWithPolicy, true, "adminWithPolicy"}}) {
    if (((attributes & demand.bit) != 0) != demand.set) {
      return Wrong(fmt::format("the sealed object's {} is {}", demand.name,
                               demand.set ? "clear" : "set"));
    }
  }
  if (attributes != kSeedAttributes) {
    return Wrong(fmt::format(
        "the sealed object's attributes are {:#010x}, expected {:#010x}",
        attributes, kSeedAttributes));
  }
  return absl::OkStatus();
}

absl::Status CheckCreationPcrs(const CreationData& creation) {
  if (creation.pcr_selections.size() != 1) {
    return Wrong(fmt::format("creation PCRs of {} banks, expected one",
                             creation.pcr_selections.size()));
  }
  return CheckSealPcrs(creation.pcr_selections.front());
}

absl::Status CheckCreationAttest(const PqKey& key, const Bytes& name,
                                 const CreationData& creation) {
  ASSIGN_OR_RETURN_WITH(const Attest attest, ParseAttest(key.certify_info),
                        "certify_info");
  if (attest.magic != kTpmGenerated) {
    return Wrong("certify_info was not made by a TPM");
  }
  if (attest.type != kTpmStAttestCreation) {
    return Wrong(
        fmt::format("certify_info is of type {:#06x}, expected {:#06x}",
                    attest.type, kTpmStAttestCreation));
  }
  const DigestBytes expected =
      SeedQualifyingData(key.algorithm, key.purpose, key.epoch, key.public_key);
  if (attest.extra_data != expected) {
    return Wrong(
        fmt::format("certify_info's qualifying data is {}, of this "
                    "purpose, epoch and public key it is {}",
                    ToHex(attest.extra_data), ToHex(expected)));
  }
  if (attest.created_name != name) {
    return Wrong(
        fmt::format("certify_info is about {}, the sealed object's name is {}",
                    ToHex(attest.created_name), ToHex(name)));
  }
  if (attest.creation_hash != creation.digest) {
    return Wrong("certify_info is about other creation data");
  }
  return absl::OkStatus();
}

}  // namespace

bool MaySealTo(uint32_t pcr) { return pcr < kDebugPcr && pcr != kImaPcr; }

absl::Status CheckSealPcrs(const PcrSelection& selection) {
  if (!BankDigestSize(selection.bank)) {
    return Wrong(fmt::format("sealing to bank {:#06x} is not supported",
                             selection.bank));
  }
  for (uint32_t pcr = 0; pcr < kBootPcrs; ++pcr) {
    if (std::find(selection.indexes.begin(), selection.indexes.end(), pcr) ==
        selection.indexes.end()) {
      return Wrong(fmt::format("boot PCR {} is not sealed to", pcr));
    }
  }
  for (const uint32_t pcr : selection.indexes) {
    if (!MaySealTo(pcr)) {
      return Wrong(fmt::format("PCR {} must not be sealed to", pcr));
    }
  }
  return absl::OkStatus();
}

DigestBytes SealPolicyRef(std::string_view host_id, KeyPurpose purpose) {
  ByteWriter content;
  content.Raw(kPolicyRefTag).U8(0).Raw(host_id).U8(0).Raw(ToString(purpose));
  return Sha256(content);
}

DigestBytes SealAuthPolicy(ByteView authority_name, std::string_view host_id,
                           KeyPurpose purpose) {
  ByteWriter first;
  first.Raw(Bytes(kDigestSize, 0)).U32(kCcPolicyAuthorize).Raw(authority_name);
  ByteWriter second;
  second.Raw(Sha256(first)).Raw(SealPolicyRef(host_id, purpose));
  ByteWriter third;
  third.Raw(Sha256(second)).U32(kCcPolicyAuthValue);
  return Sha256(third);
}

absl::StatusOr<DigestBytes> ApprovedPolicy(const SealApproval& approval) {
  RETURN_IF_ERROR(CheckApprovedPcrs(approval.pcrs));
  if (approval.counter_name.size() != kNameSize ||
      approval.counter_name[0] != kAlgSha256 >> 8 ||
      approval.counter_name[1] != (kAlgSha256 & 0xFF)) {
    return Wrong("approval: the counter's name is not of SHA-256");
  }
  const DigestBytes pcrs = PolicyPcr(Bytes(kDigestSize, 0), approval.pcrs);
  return PolicyNv(pcrs, approval.counter_limit, approval.counter_name);
}

absl::StatusOr<DigestBytes> ApprovalDigest(const SealApproval& approval) {
  ASSIGN_OR_RETURN(const DigestBytes policy, ApprovedPolicy(approval));
  ByteWriter content;
  content.Raw(policy).Raw(SealPolicyRef(approval.host_id, approval.purpose));
  return Sha256(content);
}

DigestBytes SeedOutsideInfo(std::string_view algorithm, KeyPurpose purpose,
                            uint32_t epoch, ByteView public_key) {
  return SeedDigest(kSeedTag, algorithm, purpose, epoch, public_key);
}

DigestBytes SeedQualifyingData(std::string_view algorithm, KeyPurpose purpose,
                               uint32_t epoch, ByteView public_key) {
  return SeedDigest(kCertifySeedTag, algorithm, purpose, epoch, public_key);
}

absl::Status CheckSealedSeed(const PqKey& key, std::string_view host_id,
                             ByteView authority_name) {
  RETURN_IF_ERROR(CheckAlgorithm(key));
  ASSIGN_OR_RETURN_WITH(const SealedPublicArea area,
                        ParseSealedPublic(key.sealed_public), "sealed_public");
  RETURN_IF_ERROR(CheckAttributes(area.attributes));
  const DigestBytes policy =
      SealAuthPolicy(authority_name, host_id, key.purpose);
  if (area.auth_policy != policy) {
    return Wrong(fmt::format(
        "the sealed object's policy is {}, of this authority, host and purpose "
        "it is {}",
        ToHex(area.auth_policy), ToHex(policy)));
  }
  ASSIGN_OR_RETURN_WITH(const CreationData creation,
                        ParseCreationData(key.creation_data), "creation_data");
  RETURN_IF_ERROR(CheckCreationPcrs(creation));
  if (creation.outside_info !=
      SeedOutsideInfo(key.algorithm, key.purpose, key.epoch, key.public_key)) {
    return Wrong("the sealed object was created for another public key");
  }
  return CheckCreationAttest(key, area.name, creation);
}

}  // namespace vmattest::evidence
