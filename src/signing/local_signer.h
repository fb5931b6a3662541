#ifndef VMATTEST_SIGNING_LOCAL_SIGNER_H_
#define VMATTEST_SIGNING_LOCAL_SIGNER_H_

#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "sealing/sealer.h"
#include "signing/signer.h"
#include "signing/signer_work.h"

namespace vmattest::signing {

// The signer itself, in this process. Owns the `tpm` thread, which does every
// TPM command (sealing::Sealer: quotes in batches; SignerWork: the rest), and
// the `pq` threads, which make post-quantum signatures meanwhile:
//
//   Seal -> parse -> quote [tpm] ─┐
//                └─> ML-DSA [pq] ─┴─> both -> done [tpm or pq]
class LocalSigner final : public Signer {
 public:
  struct Options {
    SignerWorkOptions work;
    size_t pq_threads = 2;
  };
  // `tpm` and `clock` must outlive it. Begins at once.
  LocalSigner(tpm::HostTpm& tpm, const Clock& clock, Options options);
  LocalSigner(const LocalSigner&) = delete;
  LocalSigner& operator=(const LocalSigner&) = delete;
  ~LocalSigner() override;

  // Closes the log ("daemon-stopped") if that can be done within two seconds,
  // then fails what is pending and refuses what comes. Idempotent; one thread.
  void Stop() EXCLUDES_LOCK(mutex_);

  [[nodiscard]] absl::Status Seal(std::string payload_type, Bytes payload,
                                  MonotonicTime deadline,
                                  SealDone done) override;
  [[nodiscard]] absl::Status ReadClock(MonotonicTime deadline,
                                       ClockDone done) override;
  [[nodiscard]] absl::Status Append(eventlog::HostEvent event,
                                    MonotonicTime deadline,
                                    AppendDone done) override
      EXCLUDES_LOCK(mutex_);
  [[nodiscard]] absl::Status CertifyLog(Bytes nonce, MonotonicTime deadline,
                                        CertifyDone done) override;
  [[nodiscard]] SignerState state() const override { return *work_.state(); }
  [[nodiscard]] SignerStats stats() const override;

  absl::StatusOr<std::vector<KeyStatus>> ListKeys() override;
  absl::StatusOr<uint32_t> RotateKey(KeyPurpose purpose) override;
  absl::Status RevokeKey(KeyPurpose purpose, uint32_t epoch) override;
  absl::StatusOr<SealStatus> GetSealStatus() override;
  absl::StatusOr<PqState> ApproveBoot(
      std::vector<evidence::SealApproval> approvals, bool current_boot,
      bool revoke_older) override;
  absl::StatusOr<SecretBytes> ActivateCredential(
      const Bytes& credential_blob, const Bytes& encrypted_secret) override;
  absl::StatusOr<std::string> ReEnroll(const std::string& host_id) override;

 private:
  struct Envelope;
  using EnvelopePtr = std::shared_ptr<Envelope>;

  void SignPq(const EnvelopePtr& envelope, uint32_t epoch);
  void Finish(const EnvelopePtr& envelope);
  // False: the other signature is made again and Finish comes again.
  bool SameEpoch(const EnvelopePtr& envelope, absl::Status* refused);

  absl::Status AddTask(TpmTasks::Task task) EXCLUDES_LOCK(mutex_);
  // Runs it on the `tpm` thread and waits.
  absl::Status RunTask(std::function<absl::Status()> run, bool again,
                       bool repairs = false);
  // The same for what is an event itself; waits for the log, too.
  absl::Status RunLogged(
      const std::function<absl::Status(AppendDone logged)>& run,
      bool repairs = false);
  void CloseLog();

  const Clock& clock_;
  const PqMode pq_mode_;
  SignerWork work_;
  ThreadPool pq_;
  Mutex mutex_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool stopped_ = false;
  std::unique_ptr<sealing::Sealer> sealer_;  // last: its thread uses all above
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_LOCAL_SIGNER_H_
