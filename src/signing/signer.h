#ifndef VMATTEST_SIGNING_SIGNER_H_
#define VMATTEST_SIGNING_SIGNER_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/secret_bytes.h"
#include "base/status.h"
#include "eventlog/host_event.h"
#include "eventlog/host_log_chain.h"
#include "evidence/envelope.h"
#include "evidence/host_identity.h"
#include "evidence/seal_policy.h"
#include "evidence/statement.h"
#include "tpm/host_tpm.h"
#include "vmattest/types/tpm.h"

namespace vmattest::signing {

// Whether seeds of post-quantum keys are at hand.
enum class PqState : uint8_t {
  kOff,             // by configuration
  kUnavailable,     // no implementation on this host, or no TPM yet
  kUnapprovedBoot,  // sealed: nobody approved what this boot measured
  kUnsealed,        // signs
};
std::string_view ToString(PqState state);  // "off", "unapproved-boot"...

// How the signer is, told at every change and in full.
struct SignerState {
  absl::Status tpm;  // OK: serving
  // The newest that is known, also while the TPM is away.
  std::optional<evidence::HostIdentity> identity;
  // What signs an envelope now, in order: goes into statement headers.
  std::vector<std::string> algorithms;
  std::optional<eventlog::LogHead> log;  // what was acknowledged last
  uint64_t boot_record = 0;
  std::string log_problem;  // empty: nothing is missing
  PqState pq = PqState::kUnavailable;
  std::string pq_detail;
};

struct SignerStats {
  uint64_t pending = 0;
  uint64_t quotes = 0;
  uint64_t sealed = 0;
};

// Holds the keys and the TPM (rule S25): signs typed statements, keeps the host
// event log, rotates keys. LocalSigner is the real thing; RemoteSigner speaks
// to one in another process. Callable from any thread; only the admin calls
// block. Callbacks run once, on a thread of the signer's: hand over, return.
//
// All: RESOURCE_EXHAUSTED: too many wait. UNAVAILABLE: shutting down, or no TPM
// (and the deadline passed: DEADLINE_EXCEEDED).
class Signer {
 public:
  virtual ~Signer() = default;

  // Signs the pre-authentication encoding with every algorithm in
  // state().algorithms. The payload is parsed: INVALID_ARGUMENT unless it is a
  // canonical statement of its type about this host; ABORTED if it lists other
  // algorithms than those that sign now: build it again.
  using SealDone =
      std::function<void(absl::StatusOr<std::vector<evidence::Signature>>)>;
  [[nodiscard]] virtual absl::Status Seal(std::string payload_type,
                                          Bytes payload, MonotonicTime deadline,
                                          SealDone done) = 0;
  using ClockDone = std::function<void(absl::StatusOr<TpmClock>)>;
  [[nodiscard]] virtual absl::Status ReadClock(MonotonicTime deadline,
                                               ClockDone done) = 0;

  // Appends to the host event log: on disk, in the log PCR and in the anchor
  // when `done` is told so. Events that wait together share one anchor write.
  // While there is no TPM they wait, in order, until their deadline.
  using AppendDone = std::function<void(absl::StatusOr<eventlog::LogHead>)>;
  [[nodiscard]] virtual absl::Status Append(eventlog::HostEvent event,
                                            MonotonicTime deadline,
                                            AppendDone done) = 0;
  // TPM2_NV_Certify over the anchor; `nonce` is the statement's.
  using CertifyDone =
      std::function<void(absl::StatusOr<evidence::AnchorCertification>)>;
  [[nodiscard]] virtual absl::Status CertifyLog(Bytes nonce,
                                                MonotonicTime deadline,
                                                CertifyDone done) = 0;

  [[nodiscard]] virtual SignerState state() const = 0;
  [[nodiscard]] virtual SignerStats stats() const = 0;

  // Administration; these block for as long as the TPM takes. Each that changes
  // something is itself an event in the log before it answers.
  struct KeyStatus {
    tpm::KeyEpoch key;
    std::string pq_algorithm;  // empty: none beside it
    Bytes pq_key_id;
  };
  virtual absl::StatusOr<std::vector<KeyStatus>> ListKeys() = 0;
  virtual absl::StatusOr<uint32_t> RotateKey(KeyPurpose purpose) = 0;
  virtual absl::Status RevokeKey(KeyPurpose purpose, uint32_t epoch) = 0;
  struct SealStatus {
    PqState state = PqState::kUnavailable;
    std::string detail;
    tpm::SealRegisters current;
    Bytes authority;  // TPM2B_PUBLIC
    uint64_t approvals = 0;
  };
  virtual absl::StatusOr<SealStatus> GetSealStatus() = 0;
  // Installs approvals (INVALID_ARGUMENT: not by the authority, or for another
  // host) and tries to unseal. `current_boot` makes one with the host's own
  // authority: FAILED_PRECONDITION if it has none.
  virtual absl::StatusOr<PqState> ApproveBoot(
      std::vector<evidence::SealApproval> approvals, bool current_boot,
      bool revoke_older) = 0;
  // The secret of a credential that a verifier made for this host's EK and AK
  // (tpm/host_tpm.h); it changes nothing, and is no event. INVALID_ARGUMENT: it
  // is not for these.
  virtual absl::StatusOr<SecretBytes> ActivateCredential(
      const Bytes& credential_blob, const Bytes& encrypted_secret) = 0;
  // Returns the new host id. INVALID_ARGUMENT: `host_id` is not the old one.
  virtual absl::StatusOr<std::string> ReEnroll(const std::string& host_id) = 0;
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_SIGNER_H_
