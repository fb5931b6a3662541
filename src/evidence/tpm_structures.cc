#include "evidence/tpm_structures.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "crypto/digest.h"

namespace vmattest::evidence {
namespace {

// TPM_ALG_ID and TPM_ECC_CURVE (TCG Algorithm Registry).
constexpr uint16_t kAlgSha256 = 0x000B;
constexpr uint16_t kAlgSha384 = 0x000C;
constexpr uint16_t kAlgSha512 = 0x000D;
constexpr uint16_t kAlgSha3_256 = 0x0027;
constexpr uint16_t kAlgNull = 0x0010;
constexpr uint16_t kAlgEcdsa = 0x0018;
constexpr uint16_t kAlgEcdaa = 0x001A;
constexpr uint16_t kAlgEcc = 0x0023;
constexpr uint16_t kAlgKeyedHash = 0x0008;
constexpr uint16_t kCurveP256 = 0x0003;
constexpr uint16_t kCurveP384 = 0x0004;

// TPMA_OBJECT (8.3), beside those in the header.
constexpr uint32_t kSensitiveDataOrigin = 1u << 5;
constexpr uint32_t kRestricted = 1u << 16;
constexpr uint32_t kDecrypt = 1u << 17;
constexpr uint32_t kSign = 1u << 18;

// Larger than any TPM has; keeps hostile counts from costing memory.
constexpr uint32_t kMaxSelections = 16;
constexpr uint8_t kMaxSelectSize = 4;

std::optional<HashAlgorithm> FromTpmHash(uint16_t algorithm) {
  switch (algorithm) {
    case kAlgSha256:
      return HashAlgorithm::kSha256;
    case kAlgSha384:
      return HashAlgorithm::kSha384;
    case kAlgSha512:
      return HashAlgorithm::kSha512;
    case kAlgSha3_256:
      return HashAlgorithm::kSha3_256;
    default:
      return std::nullopt;
  }
}

absl::StatusOr<Bytes> TpmHash(uint16_t algorithm, ByteView data) {
  const std::optional<HashAlgorithm> known = FromTpmHash(algorithm);
  if (!known) {
    return absl::InvalidArgumentError(
        fmt::format("hash algorithm {:#06x} is not supported", algorithm));
  }
  return Hash(*known, data);
}

Bytes Sized16(ByteReader& reader) {
  const uint16_t size = reader.U16();
  return ToBytes(reader.Raw(size));
}

absl::Status CheckEnd(const ByteReader& reader, std::string_view what) {
  if (!reader.ok()) {
    return absl::InvalidArgumentError(fmt::format("{}: truncated", what));
  }
  if (!reader.AtEnd()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} trailing bytes", what, reader.remaining()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PcrSelection>> ReadSelections(ByteReader& reader) {
  const uint32_t count = reader.U32();
  if (count > kMaxSelections) {
    return absl::InvalidArgumentError(
        fmt::format("TPML_PCR_SELECTION: {} banks", count));
  }
  std::vector<PcrSelection> selections;
  for (uint32_t i = 0; i < count; ++i) {
    PcrSelection selection;
    selection.bank = reader.U16();
    const uint8_t size = reader.U8();
    if (size > kMaxSelectSize) {
      return absl::InvalidArgumentError(
          fmt::format("TPMS_PCR_SELECTION: bitmap of {} bytes", size));
    }
    const ByteView bitmap = reader.Raw(size);
    for (uint32_t bit = 0; bit < bitmap.size() * 8; ++bit) {
      if ((bitmap[bit / 8] >> (bit % 8) & 1) != 0) {
        selection.indexes.push_back(bit);
      }
    }
    selections.push_back(std::move(selection));
  }
  return selections;
}

absl::Status ReadScheme(ByteReader& reader, EccPublicArea& area) {
  if (reader.U16() != kAlgNull) {  // symmetric: keyBits, mode
    reader.U16();
    reader.U16();
  }
  area.scheme = reader.U16();
  if (area.scheme != kAlgNull) {
    area.scheme_hash = reader.U16();
    if (area.scheme == kAlgEcdaa) {
      reader.U16();
    }
  }
  switch (const uint16_t curve = reader.U16(); curve) {
    case kCurveP256:
      area.key.curve = EcCurve::kP256;
      break;
    case kCurveP384:
      area.key.curve = EcCurve::kP384;
      break;
    default:
      return absl::InvalidArgumentError(
          fmt::format("TPM2B_PUBLIC: curve {:#06x} is not supported", curve));
  }
  if (reader.U16() != kAlgNull) {  // kdf: hash
    reader.U16();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Attest> ParseAttest(ByteView bytes) {
  ByteReader reader(bytes);
  Attest attest;
  attest.magic = reader.U32();
  attest.type = reader.U16();
  attest.qualified_signer = Sized16(reader);
  attest.extra_data = Sized16(reader);
  attest.clock.clock_ms = reader.U64();
  attest.clock.reset_count = reader.U32();
  attest.clock.restart_count = reader.U32();
  const uint8_t safe = reader.U8();
  if (safe > 1) {
    return absl::InvalidArgumentError(
        fmt::format("TPMS_ATTEST: clock safe flag is {}", safe));
  }
  attest.clock.safe = safe == 1;
  attest.firmware_version = reader.U64();
  if (!reader.ok()) {
    return absl::InvalidArgumentError("TPMS_ATTEST: truncated");
  }
  if (attest.type == kTpmStAttestQuote) {
    ASSIGN_OR_RETURN(attest.pcr_selections, ReadSelections(reader));
    attest.pcr_digest = Sized16(reader);
  } else if (attest.type == kTpmStAttestCertify) {
    attest.certified_name = Sized16(reader);
    attest.certified_qualified_name = Sized16(reader);
  } else if (attest.type == kTpmStAttestCreation) {
    attest.created_name = Sized16(reader);
    attest.creation_hash = Sized16(reader);
  } else if (attest.type == kTpmStAttestNv) {
    attest.nv_index_name = Sized16(reader);
    attest.nv_offset = reader.U16();
    attest.nv_contents = Sized16(reader);
  } else {
    return absl::InvalidArgumentError(
        fmt::format("TPMS_ATTEST: type {:#06x} is none of quote, certify, "
                    "creation and NV",
                    attest.type));
  }
  RETURN_IF_ERROR(CheckEnd(reader, "TPMS_ATTEST"));
  return attest;
}

absl::StatusOr<EcdsaSignature> ParseEcdsaSignature(ByteView bytes) {
  ByteReader reader(bytes);
  const uint16_t scheme = reader.U16();
  if (reader.ok() && scheme != kAlgEcdsa) {
    return absl::InvalidArgumentError(
        fmt::format("TPMT_SIGNATURE: scheme {:#06x} is not ECDSA", scheme));
  }
  EcdsaSignature signature;
  signature.hash = reader.U16();
  signature.r = Sized16(reader);
  signature.s = Sized16(reader);
  RETURN_IF_ERROR(CheckEnd(reader, "TPMT_SIGNATURE"));
  return signature;
}

absl::StatusOr<EccPublicArea> ParseEccPublic(ByteView bytes) {
  ASSIGN_OR_RETURN(Bytes name, NameOf(bytes));
  ByteReader reader(bytes.subspan(2));
  if (const uint16_t type = reader.U16(); type != kAlgEcc) {
    return absl::InvalidArgumentError(
        fmt::format("TPM2B_PUBLIC: type {:#06x} is not ECC", type));
  }
  EccPublicArea area;
  area.name = std::move(name);
  area.name_algorithm = reader.U16();
  area.attributes = reader.U32();
  area.auth_policy = Sized16(reader);
  RETURN_IF_ERROR(ReadScheme(reader, area));
  area.key.x = Sized16(reader);
  area.key.y = Sized16(reader);
  RETURN_IF_ERROR(CheckEnd(reader, "TPM2B_PUBLIC"));
  return area;
}

absl::StatusOr<SealedPublicArea> ParseSealedPublic(ByteView bytes) {
  SealedPublicArea area;
  ASSIGN_OR_RETURN(area.name, NameOf(bytes));
  ByteReader reader(bytes.subspan(2));
  const uint16_t type = reader.U16();
  reader.U16();  // name algorithm
  area.attributes = reader.U32();
  area.auth_policy = Sized16(reader);
  const uint16_t scheme = reader.U16();
  if (reader.ok() && (type != kAlgKeyedHash || scheme != kAlgNull)) {
    return absl::InvalidArgumentError(
        fmt::format("TPM2B_PUBLIC: type {:#06x} with scheme {:#06x} is not "
                    "sealed data",
                    type, scheme));
  }
  Sized16(reader);  // unique
  RETURN_IF_ERROR(CheckEnd(reader, "TPM2B_PUBLIC"));
  return area;
}

absl::StatusOr<CreationData> ParseCreationData(ByteView bytes) {
  ByteReader outer(bytes);
  const uint16_t size = outer.U16();
  const ByteView content = outer.Raw(size);
  RETURN_IF_ERROR(CheckEnd(outer, "TPM2B_CREATION_DATA"));
  ByteReader reader(content);
  CreationData data;
  ASSIGN_OR_RETURN(data.pcr_selections, ReadSelections(reader));
  data.pcr_digest = Sized16(reader);
  reader.U8();   // locality
  reader.U16();  // the parent's name algorithm, name, qualified name
  Sized16(reader);
  Sized16(reader);
  data.outside_info = Sized16(reader);
  RETURN_IF_ERROR(CheckEnd(reader, "TPMS_CREATION_DATA"));
  data.digest = Hash(HashAlgorithm::kSha256, content);
  return data;
}

absl::StatusOr<Bytes> NameOf(ByteView tpm2b_public) {
  ByteReader reader(tpm2b_public);
  const uint16_t size = reader.U16();
  const ByteView area = reader.Raw(size);
  RETURN_IF_ERROR(CheckEnd(reader, "TPM2B_PUBLIC"));
  ByteReader fields(area);
  fields.U16();
  const uint16_t name_algorithm = fields.U16();
  if (!fields.ok()) {
    return absl::InvalidArgumentError("TPM2B_PUBLIC: truncated");
  }
  if (name_algorithm != kAlgSha256 && name_algorithm != kAlgSha384) {
    return absl::InvalidArgumentError(
        fmt::format("TPM2B_PUBLIC: name algorithm {:#06x} is not supported",
                    name_algorithm));
  }
  ASSIGN_OR_RETURN(const Bytes digest, TpmHash(name_algorithm, area));
  ByteWriter name;
  name.U16(name_algorithm).Raw(digest);
  return std::move(name).Take();
}

absl::StatusOr<Bytes> PrimaryQualifiedName(uint32_t hierarchy, ByteView name) {
  ByteReader reader(name);
  const uint16_t name_algorithm = reader.U16();
  if (!reader.ok()) {
    return absl::InvalidArgumentError("TPM name: truncated");
  }
  ByteWriter content;
  content.U32(hierarchy).Raw(name);
  ASSIGN_OR_RETURN(const Bytes digest,
                   TpmHash(name_algorithm, content.bytes()));
  ByteWriter qualified;
  qualified.U16(name_algorithm).Raw(digest);
  return std::move(qualified).Take();
}

absl::StatusOr<Bytes> PcrDigest(uint16_t hash_algorithm,
                                const std::vector<PcrSelection>& selections,
                                const std::vector<PcrValues>& values) {
  ByteWriter content;
  for (const PcrSelection& selection : selections) {
    const auto bank = std::find_if(
        values.begin(), values.end(),
        [&](const PcrValues& v) { return v.bank == selection.bank; });
    for (const uint32_t index : selection.indexes) {
      if (bank == values.end() || !bank->values.contains(index)) {
        return absl::FailedPreconditionError(fmt::format(
            "PCR {} of bank {:#06x} has no value", index, selection.bank));
      }
      content.Raw(bank->values.at(index));
    }
  }
  return TpmHash(hash_algorithm, content.bytes());
}

bool IsRestrictedSigningKey(uint32_t attributes) {
  constexpr uint32_t kNeeded = kObjectFixedTpm | kObjectFixedParent |
                               kSensitiveDataOrigin | kRestricted | kSign;
  return (attributes & kNeeded) == kNeeded && (attributes & kDecrypt) == 0;
}

}  // namespace vmattest::evidence
