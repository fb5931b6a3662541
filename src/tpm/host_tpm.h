#ifndef VMATTEST_TPM_HOST_TPM_H_
#define VMATTEST_TPM_HOST_TPM_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "base/status.h"
#include "evidence/host_identity.h"
#include "evidence/seal_policy.h"
#include "evidence/statement.h"
#include "vmattest/types/tpm.h"

namespace vmattest::tpm {

// One TPM2_Quote by a purpose key, with the PCR values that it covers.
struct Quote {
  Bytes key_name;
  Bytes quoted;     // TPMS_ATTEST
  Bytes signature;  // TPMT_SIGNATURE
  std::vector<PcrValues> pcr_banks;
};

// What the TPM holds of the host event log (rule S1).
struct LogRegisters {
  enum class Anchor : uint8_t {
    kUndefined,  // the index is not there: it was made, so the log was lost
    kUnwritten,
    kWritten,
  };
  Anchor anchor = Anchor::kUndefined;
  uint64_t size = 0;        // as the anchor says
  Bytes head;               // 32 bytes, as the anchor says
  Bytes pcr;                // the log PCR's value in the bank that is quoted
  uint64_t boot_count = 0;  // NV counter
  TpmClock clock;
};

struct KeyEpoch {
  enum class State : uint8_t {
    kActive,   // signs
    kOverlap,  // still in the TPM, signs no more
    kRetired,  // gone from the TPM; what it signed is still good
    kRevoked,  // gone, and what it signed is not to be believed
  };
  evidence::KeyCertification certification;
  State state = State::kActive;
  int64_t since_unix_ms = 0;
};

// A seed in the TPM's keeping: useless without this TPM and an approved boot.
struct SealedSeed {
  Bytes private_area;  // TPM2B_PRIVATE
  evidence::PqKey key;
};

// What a boot measured into the PCRs that seeds are sealed to.
struct SealRegisters {
  PcrValues pcrs;
  uint64_t counter = 0;  // approvals with a lower limit are void
  Bytes counter_name;    // TPM name of that counter's NV index
};

// The host's TPM, as the signer uses it. Calls block for as long as the TPM
// takes (a quote on real hardware: 100 to 600 ms) and are serialised inside:
// call them from the `tpm` thread, never from event or gRPC threads.
//   UNAVAILABLE          gone, busy, or was reset; it is reopened: retry.
//   FAILED_PRECONDITION  lock-out, wrong authorisation, or the TPM was cleared
//                        or replaced: retrying cannot help.
//   DATA_LOSS            an answer was altered on its way, or the salt key is
//                        not the pinned one: stop and alarm.
class HostTpm {
 public:
  virtual ~HostTpm() = default;

  // Opens the TPM, creates the keys that are missing, checks those that are
  // there against what was pinned. Idempotent. FAILED_PRECONDITION, "needs
  // re-enrolment", for a TPM that was cleared or replaced: never new keys.
  virtual absl::Status Provision() = 0;
  // FAILED_PRECONDITION until Provision() succeeded once. All epochs' keys but
  // none of pq_keys, which are the caller's to add.
  virtual absl::StatusOr<evidence::HostIdentity> GetIdentity() = 0;
  // `qualifying_data`: 32 bytes, as evidence::QualifyingData makes them. By
  // the active epoch.
  virtual absl::StatusOr<Quote> MakeQuote(KeyPurpose purpose,
                                          ByteView qualifying_data) = 0;
  virtual absl::StatusOr<TpmClock> ReadClock() = 0;

  // Keys of all purposes and epochs (rule S2).
  virtual absl::StatusOr<std::vector<KeyEpoch>> ListKeys() = 0;
  // Makes and certifies the next epoch, which is active from then on; the one
  // before stays in the TPM (kOverlap) until RetireKey. RESOURCE_EXHAUSTED: the
  // TPM has no room for a key.
  virtual absl::StatusOr<evidence::KeyCertification> RotateKey(
      KeyPurpose purpose) = 0;
  // Removes a key that is in overlap from the TPM. FAILED_PRECONDITION: it is
  // active.
  virtual absl::Status RetireKey(KeyPurpose purpose, uint32_t epoch) = 0;
  // Removes it, active or not, and certifies that it is revoked; an active one
  // is rotated first. A retired one cannot be certified any more:
  // FAILED_PRECONDITION.
  virtual absl::StatusOr<evidence::KeyRevocation> RevokeKey(KeyPurpose purpose,
                                                            uint32_t epoch) = 0;
  // Puts the pinned identity aside, under another name in its folder, and
  // provisions anew. `host_id` is the old one. INVALID_ARGUMENT: it is not.
  virtual absl::Status ReEnroll(std::string_view host_id) = 0;

  // TPM2_ActivateCredential with the EK and the AK: the secret of a credential
  // that was made for exactly these two (docs/formats/enrollment.md).
  // `credential_blob` is a TPM2B_ID_OBJECT, `encrypted_secret` a
  // TPM2B_ENCRYPTED_SECRET. INVALID_ARGUMENT: made for another TPM or another
  // key, altered, or no credential.
  virtual absl::StatusOr<SecretBytes> ActivateCredential(
      ByteView credential_blob, ByteView encrypted_secret) = 0;

  // The host event log (rule S1).
  virtual absl::StatusOr<LogRegisters> ReadLogRegisters() = 0;
  // Extends the log PCR with a record's digest, of the bank's size (SHA-256: 32
  // bytes), never twice. UNAVAILABLE: the TPM was reset since
  // ReadLogRegisters(), or went away before it answered, so that only the
  // registers tell whether it did: read them before extending on.
  virtual absl::Status ExtendLog(ByteView digest) = 0;
  // Defines the index anew if it is not there.
  virtual absl::Status WriteLogAnchor(uint64_t size, ByteView head) = 0;
  // One more boot: increments the counter, which never goes back, and returns
  // its value.
  virtual absl::StatusOr<uint64_t> CountBoot() = 0;
  // TPM2_NV_Certify by the AK, over the index that HostIdentity::log_index is.
  // FAILED_PRECONDITION: it is not there, or was not written.
  virtual absl::StatusOr<evidence::AnchorCertification> CertifyLogAnchor(
      ByteView qualifying_data) = 0;

  // Seeds of post-quantum keys (rules S3, S5). `authority` is the TPM2B_PUBLIC
  // of the key that approves boots.
  virtual absl::StatusOr<SealRegisters> ReadSealRegisters() = 0;
  virtual absl::StatusOr<SealedSeed> SealSeed(
      std::string_view algorithm, KeyPurpose purpose, uint32_t epoch,
      ByteView public_key, const SecretBytes& seed, ByteView authority) = 0;
  // Tries the approvals in turn. PERMISSION_DENIED, "unapproved boot: PCR n is
  // X, approved is Y": none of them fits what this boot measured.
  virtual absl::StatusOr<SecretBytes> UnsealSeed(
      const SealedSeed& sealed, ByteView authority,
      std::span<const evidence::SealApproval> approvals) = 0;
  // Increments the counter: all approvals made for less are void.
  virtual absl::StatusOr<uint64_t> RevokeApprovals() = 0;
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_HOST_TPM_H_
