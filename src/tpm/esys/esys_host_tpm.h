#ifndef VMATTEST_TPM_ESYS_ESYS_HOST_TPM_H_
#define VMATTEST_TPM_ESYS_ESYS_HOST_TPM_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/secret_bytes.h"
#include "tpm/esys/pin_file.h"
#include "tpm/esys/tcti.h"
#include "tpm/host_tpm.h"

namespace vmattest::tpm {

struct KeyAuthorizations;
struct SealTools;

struct EsysHostTpmOptions {
  // As tpm2-tss takes it: "device:/dev/tpmrm0", "swtpm:path=/run/tpm.sock".
  std::string tcti;
  // PCRs below 24 that every quote covers, and the log PCR besides. Not empty.
  std::vector<uint32_t> pcrs = {0, 1, 2, 3, 4, 5, 6, 7};
  uint16_t pcr_bank = 0x000B;  // TPM_ALG_ID; SHA-256
  // The AK is kept here, purpose keys in the 63 handles after it.
  uint32_t persistent_handle_base = 0x81010100;
  // Of the host event log: PCR 8 to 15, but 10, which is the kernel's.
  uint32_t log_pcr = 13;
  // NV indexes, of the range that the TCG leaves to the owner: 0x01800000 to
  // 0x01BFFFFF. They hold the log's size and head, the boots' number, the limit
  // of boots' approvals.
  uint32_t log_index = 0x01810130;
  uint32_t counter_index = 0x01810131;
  uint32_t seal_counter_index = 0x01810132;
  // What seeds of post-quantum keys are sealed to.
  std::vector<uint32_t> seal_pcrs = {0, 1, 2, 3, 4, 5, 6, 7};
  // The keys' authorisation values are derived from it (rule S7). Not empty.
  SecretBytes key_auth;
  SecretBytes owner_auth;        // of the storage hierarchy; often empty
  SecretBytes endorsement_auth;  // often empty
  std::filesystem::path pin_file;
  std::string hostname;
  // Which purpose keys there are; each takes one of the TPM's few persistent
  // slots.
  std::vector<KeyPurpose> purposes = {
      KeyPurpose::kConfig,   KeyPurpose::kState,  KeyPurpose::kProfile,
      KeyPurpose::kLiveness, KeyPurpose::kLedger, KeyPurpose::kAuthorization};
  // Of one command. A hardware TPM may take seconds to create a key.
  std::chrono::milliseconds command_timeout{30'000};
};

// The host's TPM through tpm2-tss (docs/tpm.md). One salted HMAC session, kept
// open, protects every command; it and the connection are opened again when
// the TPM was reset, was gone, or somebody flushed it. Set SIGPIPE to be
// ignored for TCTIs other than device: and swtpm:path=. Construct the first
// one before starting threads: it sets TSS2_LOG, unless that is set.
class EsysHostTpm final : public HostTpm {
 public:
  // Touches no TPM. `opener` replaces `options.tcti` (tests).
  explicit EsysHostTpm(EsysHostTpmOptions options);
  EsysHostTpm(EsysHostTpmOptions options, TctiOpener opener);
  EsysHostTpm(const EsysHostTpm&) = delete;
  EsysHostTpm& operator=(const EsysHostTpm&) = delete;
  ~EsysHostTpm() override;

  // Beyond the port's contract: INVALID_ARGUMENT for options that cannot work;
  // FAILED_PRECONDITION if the keys have another authorisation, a handle is
  // taken by a foreign object, or the firmware did not measure into the bank;
  // RESOURCE_EXHAUSTED if the TPM has no room for a key or an index.
  absl::Status Provision() override EXCLUDES_LOCK(mutex_);
  absl::StatusOr<evidence::HostIdentity> GetIdentity() override
      EXCLUDES_LOCK(mutex_);
  // NOT_FOUND: a purpose that is not among the options' purposes.
  absl::StatusOr<Quote> MakeQuote(KeyPurpose purpose,
                                  ByteView qualifying_data) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<TpmClock> ReadClock() override EXCLUDES_LOCK(mutex_);

  // All from here on: FAILED_PRECONDITION before Provision() succeeded once.
  absl::StatusOr<std::vector<KeyEpoch>> ListKeys() override
      EXCLUDES_LOCK(mutex_);
  // NOT_FOUND: no such purpose or epoch. A key that was retired or revoked but
  // could not be removed is removed when the TPM is opened next.
  absl::StatusOr<evidence::KeyCertification> RotateKey(
      KeyPurpose purpose) override EXCLUDES_LOCK(mutex_);
  absl::Status RetireKey(KeyPurpose purpose, uint32_t epoch) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<evidence::KeyRevocation> RevokeKey(KeyPurpose purpose,
                                                    uint32_t epoch) override
      EXCLUDES_LOCK(mutex_);
  // The old pin file becomes "<pin file>.<16 digits of the old id>.<n>". On a
  // TPM with the old endorsement key, epochs go on counting.
  absl::Status ReEnroll(std::string_view host_id) override
      EXCLUDES_LOCK(mutex_);

  absl::StatusOr<SecretBytes> ActivateCredential(
      ByteView credential_blob, ByteView encrypted_secret) override
      EXCLUDES_LOCK(mutex_);

  absl::StatusOr<LogRegisters> ReadLogRegisters() override
      EXCLUDES_LOCK(mutex_);
  // `digest`: of the size of the options' bank.
  absl::Status ExtendLog(ByteView digest) override EXCLUDES_LOCK(mutex_);
  absl::Status WriteLogAnchor(uint64_t size, ByteView head) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<uint64_t> CountBoot() override EXCLUDES_LOCK(mutex_);
  // FAILED_PRECONDITION: there is no anchor, or nothing was written to it.
  absl::StatusOr<evidence::AnchorCertification> CertifyLogAnchor(
      ByteView qualifying_data) override EXCLUDES_LOCK(mutex_);

  absl::StatusOr<SealRegisters> ReadSealRegisters() override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<SealedSeed> SealSeed(std::string_view algorithm,
                                      KeyPurpose purpose, uint32_t epoch,
                                      ByteView public_key,
                                      const SecretBytes& seed,
                                      ByteView authority) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<SecretBytes> UnsealSeed(
      const SealedSeed& sealed, ByteView authority,
      std::span<const evidence::SealApproval> approvals) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<uint64_t> RevokeApprovals() override EXCLUDES_LOCK(mutex_);

 private:
  struct Connection;
  using Command = std::function<absl::Status(Connection&)>;

  absl::Status CheckOptions() const;
  absl::Status CheckProvisioned() const REQUIRES_LOCK(mutex_);
  [[nodiscard]] KeyAuthorizations Authorizations() const;

  // Runs `command` on an open connection; reopens and runs it once more where
  // the fault says that this helps. What must not happen twice has to find out
  // by itself whether it did.
  absl::Status Run(const Command& command) REQUIRES_LOCK(mutex_);
  absl::Status EnsureOpen() REQUIRES_LOCK(mutex_);
  absl::StatusOr<std::unique_ptr<Connection>> Open() REQUIRES_LOCK(mutex_);
  absl::Status OpenSession(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status CheckSameTpm(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status ProveAk(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status TakeIdentity(Connection& connection) REQUIRES_LOCK(mutex_);
  // Rule S6; keeps the newest, in the file too when that is due.
  absl::Status NoteClock(const TpmClock& clock) REQUIRES_LOCK(mutex_);
  // Stores and then is what identity_ tells.
  absl::Status TakePin(TpmPin pin) REQUIRES_LOCK(mutex_);

  absl::Status LoadAk(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status LoadPurposeKeys(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status LoadPurposeKey(Connection& connection, KeyPurpose purpose)
      REQUIRES_LOCK(mutex_);
  absl::Status RemoveLeftKeys(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status Rotate(KeyPurpose purpose) REQUIRES_LOCK(mutex_);
  absl::Status Revoke(KeyPurpose purpose, uint32_t epoch) REQUIRES_LOCK(mutex_);
  absl::Status Remove(const KeyEpoch& key) REQUIRES_LOCK(mutex_);

  absl::Status InheritFormer(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status PutFormerAside() REQUIRES_LOCK(mutex_);

  absl::Status LoadAnchor(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::StatusOr<Bytes> ReadLogPcr(Connection& connection) const;

  // Runs `command` with what esys_seal.h works with.
  absl::Status RunSealing(
      const std::function<absl::Status(const SealTools&)>& command)
      REQUIRES_LOCK(mutex_);

  const EsysHostTpmOptions options_;
  const TctiOpener opener_;
  Mutex mutex_;
  std::unique_ptr<Connection> connection_ GUARDED_BY(mutex_);
  std::optional<TpmPin> pin_ GUARDED_BY(mutex_);
  // While ReEnroll() opens the TPM: what was pinned before.
  std::optional<TpmPin> former_ GUARDED_BY(mutex_);
  TpmClock last_clock_ GUARDED_BY(mutex_);
  std::optional<evidence::HostIdentity> identity_ GUARDED_BY(mutex_);
  // Of the boot whose log registers the caller has read.
  std::optional<uint32_t> log_reset_count_ GUARDED_BY(mutex_);
  Bytes log_pcr_ GUARDED_BY(mutex_);  // as known; empty: not known
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_HOST_TPM_H_
