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

struct EsysHostTpmOptions {
  // As tpm2-tss takes it: "device:/dev/tpmrm0", "swtpm:path=/run/tpm.sock".
  std::string tcti;
  // PCRs below 24 that every quote covers. Not empty.
  std::vector<uint32_t> pcrs = {0, 1, 2, 3, 4, 5, 6, 7};
  uint16_t pcr_bank = 0x000B;  // TPM_ALG_ID; SHA-256
  // The AK is kept here, purpose key n of epoch e at + n + 8 * (e - 1).
  uint32_t persistent_handle_base = 0x81010100;
  // The keys' authorisation values are derived from it (rule S7). Not empty.
  SecretBytes key_auth;
  SecretBytes owner_auth;        // of the storage hierarchy; often empty
  SecretBytes endorsement_auth;  // often empty
  std::filesystem::path pin_file;
  std::string hostname;
  // Which purpose keys there are. A key for a purpose that nobody uses would
  // only take one of the TPM's few persistent slots.
  std::vector<KeyPurpose> purposes = {KeyPurpose::kConfig};
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
  // FAILED_PRECONDITION if the TPM is not the pinned one, was cleared, its
  // keys have another authorisation, a handle is taken by a foreign object, or
  // the firmware did not measure into the bank.
  absl::Status Provision() override EXCLUDES_LOCK(mutex_);
  absl::StatusOr<evidence::HostIdentity> GetIdentity() override
      EXCLUDES_LOCK(mutex_);
  // NOT_FOUND: a purpose that is not among the options' purposes.
  absl::StatusOr<Quote> MakeQuote(KeyPurpose purpose,
                                  ByteView qualifying_data) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<TpmClock> ReadClock() override EXCLUDES_LOCK(mutex_);

 private:
  struct Connection;

  // Runs `command` on an open connection; reopens and runs it once more where
  // the fault says that this helps.
  absl::Status Run(const std::function<absl::Status(Connection&)>& command)
      REQUIRES_LOCK(mutex_);
  absl::Status EnsureOpen() REQUIRES_LOCK(mutex_);
  absl::StatusOr<std::unique_ptr<Connection>> Open() REQUIRES_LOCK(mutex_);
  absl::Status OpenSession(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status LoadKeys(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status ProveAk(Connection& connection) REQUIRES_LOCK(mutex_);
  absl::Status CertifyKeys(Connection& connection) REQUIRES_LOCK(mutex_);
  // Rule S6; keeps the newest, in the file too when that is due.
  absl::Status NoteClock(const TpmClock& clock) REQUIRES_LOCK(mutex_);
  absl::Status CheckOptions() const;

  const EsysHostTpmOptions options_;
  const TctiOpener opener_;
  Mutex mutex_;
  std::unique_ptr<Connection> connection_ GUARDED_BY(mutex_);
  std::optional<TpmPin> pin_ GUARDED_BY(mutex_);
  TpmClock last_clock_ GUARDED_BY(mutex_);
  std::optional<evidence::HostIdentity> identity_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_HOST_TPM_H_
