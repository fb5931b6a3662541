#ifndef VMATTEST_TPM_ESYS_ESYS_SEAL_H_
#define VMATTEST_TPM_ESYS_ESYS_SEAL_H_

#include <tss2/tss2_esys.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/secret_bytes.h"
#include "evidence/seal_policy.h"
#include "evidence/tpm_structures.h"
#include "tpm/esys/esys_context.h"
#include "tpm/esys/esys_keys.h"
#include "tpm/esys/esys_session.h"
#include "tpm/host_tpm.h"

// Seeds in the TPM's keeping (rules S3 and S5, docs/formats/seal-approval.md),
// as free functions over an open connection. One thread at a time.

namespace vmattest::tpm {

// What sealing works with. All must outlive the call. At most three transient
// objects and one session beside `session` are in use at a time, all flushed
// before a function returns.
struct SealTools {
  EsysContext& context;
  EsysSession& session;  // salted to the pinned key
  const SigningKey& ak;  // with its authorisation set
  const SecretBytes& owner_auth;
  // The authorisations of counter ("seal-counter") and seeds ("seed") are
  // derived from it (DeriveAuth).
  const SecretBytes& key_auth;
  TPM2_HANDLE counter = 0;  // NV index, 0x01800000 to 0x01BFFFFF
  // Of one bank. PCRs 0 to 7 and perhaps more, but never PCR 10, the log PCR
  // or one that software can reset.
  evidence::PcrSelection pcrs;
  std::string_view host_id;
};

// Defines the counter if it is not there, and lets it count once: only then
// has it a value and its final Name. A TPM starts a new counter above all that
// it ever had, so re-creating it revokes and never restores. Idempotent.
// FAILED_PRECONDITION: another index is at that handle, or it has another
// authorisation.
absl::Status EnsureSealCounter(const SealTools& tools);

// FAILED_PRECONDITION: the counter is not there, or the bank is not active.
absl::StatusOr<SealRegisters> ReadSealState(const SealTools& tools);

// TPM2_Create below a storage primary of the owner hierarchy, made for the
// call, then TPM2_CertifyCreation by the AK. The result satisfies
// evidence::CheckSealedSeed. INVALID_ARGUMENT: a seed that is not 32 bytes, an
// authority that is no ECDSA P-256 key, PCRs that must not be sealed to.
absl::StatusOr<SealedSeed> Seal(const SealTools& tools,
                                std::string_view algorithm, KeyPurpose purpose,
                                uint32_t epoch, ByteView public_key,
                                const SecretBytes& seed, ByteView authority);

// As HostTpm::UnsealSeed. The seed leaves the TPM encrypted to `tools.session`.
// Approvals that cannot fit are left out; whether one holds is the TPM's
// judgement. FAILED_PRECONDITION: the seed is of another TPM, or sealed for
// another authority. UNAVAILABLE: PCRs change too fast.
absl::StatusOr<SecretBytes> Unseal(
    const SealTools& tools, const SealedSeed& sealed, ByteView authority,
    std::span<const evidence::SealApproval> approvals);

// Lets the counter count: approvals with a lower limit are void. Returns what
// it is now.
absl::StatusOr<uint64_t> VoidApprovals(const SealTools& tools);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_SEAL_H_
