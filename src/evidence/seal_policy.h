#ifndef VMATTEST_EVIDENCE_SEAL_POLICY_H_
#define VMATTEST_EVIDENCE_SEAL_POLICY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "evidence/host_identity.h"
#include "evidence/tpm_structures.h"
#include "vmattest/types/tpm.h"

// The policy under which the TPM gives a post-quantum seed back (rules S3 and
// S5, docs/formats/seal-approval.md), as digests that anybody can compute:
// TCG TPM 2.0 Library, Part 3, TPM2_PolicyPCR, TPM2_PolicyNV,
// TPM2_PolicyAuthorize and TPM2_PolicyAuthValue. Pure; callable from any
// thread.
//
//   authPolicy = PolicyAuthorize(authority, policyRef = host || purpose),
//                then PolicyAuthValue
//   approved   = PolicyPCR(boot PCRs), then PolicyNV(counter <= limit)

namespace vmattest::evidence {

// PCRs 0 to 7, the firmware's: every seal has them.
inline constexpr uint32_t kBootPcrs = 8;

// Not PCR 10, which changes while the host runs, nor 16 to 23, which software
// can reset (rule S5).
bool MaySealTo(uint32_t pcr);

// INVALID_ARGUMENT unless `selection` has all boot PCRs, only PCRs that may be
// sealed to, and a bank of SHA-256 or SHA-384.
absl::Status CheckSealPcrs(const PcrSelection& selection);

// One boot, approved for one host and purpose.
struct SealApproval {
  std::string host_id;
  KeyPurpose purpose = KeyPurpose::kConfig;
  PcrValues pcrs;              // what that boot measures
  uint64_t counter_limit = 0;  // void once the TPM's seal counter is above
  Bytes counter_name;          // TPM name of that counter's NV index
  Bytes
      signature;  // TPMT_SIGNATURE, ECDSA by the authority over ApprovalDigest
};

// SHA-256("vmattest/seal/v1" || 0x00 || host_id || 0x00 || purpose name).
DigestBytes SealPolicyRef(std::string_view host_id, KeyPurpose purpose);

// The sealed object's authPolicy, SHA-256. `authority_name` is a TPM name.
DigestBytes SealAuthPolicy(ByteView authority_name, std::string_view host_id,
                           KeyPurpose purpose);

// The policy that `approval` approves, SHA-256. INVALID_ARGUMENT: no PCRs, a
// bank or value that cannot be.
absl::StatusOr<DigestBytes> ApprovedPolicy(const SealApproval& approval);

// What the authority signs: aHash of TPM2_PolicyAuthorize, SHA-256(approved
// policy || policyRef).
absl::StatusOr<DigestBytes> ApprovalDigest(const SealApproval& approval);

// outsideInfo of the sealed object: SHA-256("vmattest/seed/v1" || 0x00 ||
// algorithm || 0x00 || purpose name || 0x00 || epoch as uint32 || public key).
DigestBytes SeedOutsideInfo(std::string_view algorithm, KeyPurpose purpose,
                            uint32_t epoch, ByteView public_key);

// SHA-256("vmattest/certify-seed/v1" || 0x00 || the same): qualifying data of
// the AK's TPM2_CertifyCreation.
DigestBytes SeedQualifyingData(std::string_view algorithm, KeyPurpose purpose,
                               uint32_t epoch, ByteView public_key);

// Checks all that rule S3 asks of a sealed seed but the AK's signature:
// Name, policy, fixedTPM, fixedParent, userWithAuth clear, creation PCRs, and
// that `certify_info` is about it. INVALID_ARGUMENT says what is wrong.
absl::Status CheckSealedSeed(const PqKey& key, std::string_view host_id,
                             ByteView authority_name);

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_SEAL_POLICY_H_
