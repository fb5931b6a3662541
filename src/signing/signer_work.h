#ifndef VMATTEST_SIGNING_SIGNER_WORK_H_
#define VMATTEST_SIGNING_SIGNER_WORK_H_

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "signing/host_log.h"
#include "signing/log_queue.h"
#include "signing/pq_keys.h"
#include "signing/signer.h"
#include "signing/tpm_tasks.h"

namespace vmattest::signing {

// How long administration waits for the TPM and for the log.
inline constexpr std::chrono::seconds kAdminTimeout(120);

struct SignerWorkOptions {
  std::filesystem::path state_dir;  // the signer's own; it is there
  uint8_t log_pcr = 13;
  size_t max_pending = 4096;
  PqOptions post_quantum;
  // A new epoch of each key that often; 0: only when told. Keys that were
  // replaced stay in the TPM for `overlap_days`.
  uint32_t rotate_days = 0;
  uint32_t overlap_days = 30;
  // Told each change of the state, from the `tpm` thread: hand over, return.
  std::function<void(const SignerState&)> on_state;
};

// All that the `tpm` thread does for a signer beside quotes: the log, the
// post-quantum keys, administration, the schedule of rotation.
//
//   state_dir/host-id       whom seeds and log belong to
//   state_dir/eventlog/     signing/host_log.h
//   state_dir/seeds/, approvals/, authority.pem   signing/pq_keys.h
class SignerWork final : public sealing::TpmWork {
 public:
  // What an envelope is signed with; never changes once it is published.
  struct Keys {
    std::shared_ptr<const PqView> pq;
    std::map<Bytes, uint32_t> epochs;       // of TPM keys, by name
    std::map<KeyPurpose, uint32_t> active;  // epochs
  };

  SignerWork(tpm::HostTpm& tpm, const Clock& clock, SignerWorkOptions options);

  // Any thread.
  [[nodiscard]] LogQueue& events() { return events_; }
  [[nodiscard]] TpmTasks& tasks() { return tasks_; }
  [[nodiscard]] std::shared_ptr<const SignerState> state() const
      EXCLUDES_LOCK(mutex_);
  [[nodiscard]] std::shared_ptr<const Keys> keys() const EXCLUDES_LOCK(mutex_);

  // What the sealer says of the TPM; all from here on is the `tpm` thread's.
  void TpmIs(const absl::Status& status);
  absl::Status Opened() override;
  absl::StatusOr<bool> DoTurn(const std::function<void()>& between) override;
  [[nodiscard]] MonotonicTime FirstDeadline() const override;
  void FailExpired(MonotonicTime now) override;
  void FailAll(const absl::Status& status) override;
  bool Repair() override { return tasks_.Repair(); }

  // The work of tasks.
  absl::StatusOr<evidence::AnchorCertification> CertifyLog(ByteView nonce);
  absl::StatusOr<std::vector<Signer::KeyStatus>> ListKeys();
  absl::StatusOr<Signer::SealStatus> GetSealStatus();
  absl::StatusOr<SecretBytes> ActivateCredential(ByteView credential_blob,
                                                 ByteView encrypted_secret);
  // These are events of their own: where one succeeds, also halfway, `logged`
  // is told when its event is in the log.
  absl::StatusOr<uint32_t> RotateKey(KeyPurpose purpose, std::string_view cause,
                                     Signer::AppendDone logged);
  absl::Status RevokeKey(KeyPurpose purpose, uint32_t epoch,
                         Signer::AppendDone logged);
  absl::StatusOr<PqState> ApproveBoot(
      const std::vector<evidence::SealApproval>& approvals, bool current_boot,
      bool revoke_older, Signer::AppendDone logged);
  absl::StatusOr<std::string> ReEnroll(const std::string& host_id,
                                       Signer::AppendDone logged);

 private:
  absl::Status PutAsideIfAnotherHost(const std::string& host_id);
  absl::Status PutAside(const std::string& suffix);
  absl::Status RefreshKeys();
  absl::Status KeepSchedule();
  absl::Status KeepScheduleOf(const tpm::KeyEpoch& key);
  void Log(std::string kind, std::map<std::string, std::string> facts,
           MonotonicTime deadline, Signer::AppendDone logged);
  void Publish() EXCLUDES_LOCK(mutex_);
  [[nodiscard]] MonotonicTime AdminDeadline() const;

  tpm::HostTpm& tpm_;
  const Clock& clock_;
  const SignerWorkOptions options_;
  DiskLogFolder folder_;
  HostLog log_;
  LogQueue events_;
  TpmTasks tasks_;
  PqKeys pq_;
  // `tpm` thread only.
  absl::Status tpm_status_ = absl::UnavailableError("not reached yet");
  std::optional<evidence::HostIdentity> identity_;
  MonotonicTime next_check_{};
  bool opened_ = false;
  bool reopen_ = false;
  mutable Mutex mutex_;
  std::shared_ptr<const SignerState> state_ GUARDED_BY(mutex_);
  std::shared_ptr<const Keys> keys_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_SIGNER_WORK_H_
