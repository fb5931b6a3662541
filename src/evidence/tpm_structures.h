#ifndef VMATTEST_EVIDENCE_TPM_STRUCTURES_H_
#define VMATTEST_EVIDENCE_TPM_STRUCTURES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "crypto/ecdsa.h"
#include "vmattest/types/tpm.h"

// Structures that a TPM made, parsed as hostile bytes: TCG TPM 2.0 Library,
// Part 2 (section numbers below). No TPM library: a verifier links none.
// Every parser refuses trailing bytes. Pure; callable from any thread.

namespace vmattest::evidence {

inline constexpr uint32_t kTpmGenerated = 0xFF544347;  // TPM_GENERATED_VALUE
inline constexpr uint16_t kTpmStAttestNv = 0x8014;
inline constexpr uint16_t kTpmStAttestCertify = 0x8017;
inline constexpr uint16_t kTpmStAttestQuote = 0x8018;
inline constexpr uint16_t kTpmStAttestCreation = 0x801A;
inline constexpr uint32_t kTpmRhEndorsement = 0x4000000B;

struct PcrSelection {
  uint16_t bank = 0;  // TPM_ALG_ID
  std::vector<uint32_t> indexes;
};

// TPMS_ATTEST (10.12.8). Magic and type are returned as found: judging them is
// a check's work. Only the fields of its own type are filled.
struct Attest {
  uint32_t magic = 0;
  uint16_t type = 0;
  Bytes qualified_signer;
  Bytes extra_data;
  TpmClock clock;
  uint64_t firmware_version = 0;
  // TPM_ST_ATTEST_QUOTE
  std::vector<PcrSelection> pcr_selections;
  Bytes pcr_digest;
  // TPM_ST_ATTEST_CERTIFY
  Bytes certified_name;
  Bytes certified_qualified_name;
  // TPM_ST_ATTEST_CREATION
  Bytes created_name;
  Bytes creation_hash;
  // TPM_ST_ATTEST_NV
  Bytes nv_index_name;
  uint16_t nv_offset = 0;
  Bytes nv_contents;
};
// INVALID_ARGUMENT: truncated, trailing bytes, or a type other than these.
absl::StatusOr<Attest> ParseAttest(ByteView bytes);

// TPMT_SIGNATURE (11.3.4) with ECDSA; INVALID_ARGUMENT for other schemes.
struct EcdsaSignature {
  uint16_t hash = 0;  // TPM_ALG_ID
  Bytes r;
  Bytes s;
};
absl::StatusOr<EcdsaSignature> ParseEcdsaSignature(ByteView bytes);

// TPM2B_PUBLIC (12.2.5) of an ECC key; INVALID_ARGUMENT for other types.
struct EccPublicArea {
  uint16_t name_algorithm = 0;
  uint32_t attributes = 0;  // TPMA_OBJECT
  Bytes auth_policy;
  uint16_t scheme = 0;  // TPM_ALG_NULL, TPM_ALG_ECDSA...
  uint16_t scheme_hash = 0;
  EcPublicKey key;
  Bytes name;  // name algorithm || H(public area) (Part 1, section 16)
};
absl::StatusOr<EccPublicArea> ParseEccPublic(ByteView bytes);

// TPM2B_PUBLIC of sealed data: a KEYEDHASH object without a scheme;
// INVALID_ARGUMENT for other types.
struct SealedPublicArea {
  uint32_t attributes = 0;  // TPMA_OBJECT
  Bytes auth_policy;
  Bytes name;
};
absl::StatusOr<SealedPublicArea> ParseSealedPublic(ByteView bytes);

// TPM2B_CREATION_DATA (15.2).
struct CreationData {
  std::vector<PcrSelection> pcr_selections;
  Bytes pcr_digest;
  Bytes outside_info;
  Bytes digest;  // SHA-256 of TPMS_CREATION_DATA
};
absl::StatusOr<CreationData> ParseCreationData(ByteView bytes);

// The name of any TPM2B_PUBLIC, whatever its type. INVALID_ARGUMENT: sizes do
// not match, or a name algorithm other than SHA-256 and SHA-384.
absl::StatusOr<Bytes> NameOf(ByteView tpm2b_public);

// Qualified name of a primary key of `hierarchy`: nameAlg || H(hierarchy ||
// name) (Part 1, section 26.5).
absl::StatusOr<Bytes> PrimaryQualifiedName(uint32_t hierarchy, ByteView name);

// H over the selected values in the order a TPM takes them (16.3): by
// selection, then by index. FAILED_PRECONDITION names a value that is missing.
absl::StatusOr<Bytes> PcrDigest(uint16_t hash_algorithm,
                                const std::vector<PcrSelection>& selections,
                                const std::vector<PcrValues>& values);

// TPMA_OBJECT (8.3).
inline constexpr uint32_t kObjectFixedTpm = 1u << 1;
inline constexpr uint32_t kObjectFixedParent = 1u << 4;
inline constexpr uint32_t kObjectUserWithAuth = 1u << 6;
inline constexpr uint32_t kObjectAdminWithPolicy = 1u << 7;
inline constexpr uint32_t kObjectNoDa = 1u << 10;

// True for keys that sign only what the TPM itself made: restricted, sign,
// not decrypt, fixedTPM, fixedParent, sensitiveDataOrigin (rule S9).
bool IsRestrictedSigningKey(uint32_t attributes);

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_TPM_STRUCTURES_H_
