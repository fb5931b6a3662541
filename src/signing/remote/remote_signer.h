#ifndef VMATTEST_SIGNING_REMOTE_REMOTE_SIGNER_H_
#define VMATTEST_SIGNING_REMOTE_REMOTE_SIGNER_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "ipc/channel.h"
#include "ipc/child_process.h"
#include "signing/remote/signer_setup.h"
#include "signing/signer.h"
#include "vmattest/internal/signer.pb.h"

namespace vmattest::signing {

// A way to a signer that was just started, and its process if it is ours.
struct SignerLink {
  std::shared_ptr<ipc::Channel> channel;
  std::optional<ipc::ChildProcess> process;
};
// Called from one thread, again whenever the link before broke.
using SignerConnector = std::function<absl::StatusOr<SignerLink>()>;

// Starts vmattest-signer, an absolute path, and hands it `setup`.
SignerConnector SpawnSigner(std::string program, SignerSetup setup);

// The signer in another process (rule S25). Owns the threads `signer-recv`,
// which starts the process and takes its answers (callbacks run there), and
// `signer-send`.
//
// A signer that dies is started again, with growing pauses (0.1 to 5 s). What
// waited for it is sent to the next one, in the same order, until its deadline,
// but at most three times: then it may be what the signer dies of, and is
// answered UNAVAILABLE. An event that the dead one had been given may be in the
// log already; sent again it has the fact "again" (docs/processes.md). The
// calls that block are not sent twice: UNAVAILABLE, outcome unknown.
// An answer that cannot be one ends the process: DATA_LOSS in state().tpm.
class RemoteSigner : public Signer {
 public:
  struct Options {
    // Of all kinds together.
    size_t max_pending = 1024;
    // Told each change of state(), from a thread of the signer's.
    std::function<void(const SignerState& state)> on_state;
    // Of a call that blocks; a TPM takes seconds to make a key.
    std::chrono::milliseconds admin_timeout = std::chrono::minutes(3);
    // What the signer gets for closing its log.
    std::chrono::milliseconds stop_timeout = std::chrono::seconds(5);
  };
  RemoteSigner(SignerConnector connect, Options options);
  RemoteSigner(const RemoteSigner&) = delete;
  RemoteSigner& operator=(const RemoteSigner&) = delete;
  ~RemoteSigner() override;

  // Lets the signer close its log, for `stop_timeout`; then fails what is
  // pending with UNAVAILABLE and refuses what comes. Idempotent; one thread.
  void Stop() EXCLUDES_LOCK(mutex_);

  [[nodiscard]] absl::Status Seal(std::string payload_type, Bytes payload,
                                  MonotonicTime deadline,
                                  SealDone done) override;
  [[nodiscard]] absl::Status ReadClock(MonotonicTime deadline,
                                       ClockDone done) override;
  [[nodiscard]] absl::Status Append(eventlog::HostEvent event,
                                    MonotonicTime deadline,
                                    AppendDone done) override;
  [[nodiscard]] absl::Status CertifyLog(Bytes nonce, MonotonicTime deadline,
                                        CertifyDone done) override;
  [[nodiscard]] SignerState state() const override EXCLUDES_LOCK(mutex_);
  [[nodiscard]] SignerStats stats() const override EXCLUDES_LOCK(mutex_);
  // Of the signer that runs; nothing while none does, or it is no child.
  [[nodiscard]] std::optional<pid_t> pid() const EXCLUDES_LOCK(mutex_);

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
  using Request = internal::SignerRequest;
  using Reply = internal::SignerReply;
  using Done = std::function<void(absl::StatusOr<Reply>)>;
  enum class Again : bool { kNo, kYes };
  struct Pending {
    Request request;
    MonotonicTime deadline;
    Done done;
    Again again = Again::kYes;
    int sent = 0;  // to how many signers
  };

  absl::Status Enqueue(Request request, MonotonicTime deadline, Again again,
                       Done done) EXCLUDES_LOCK(mutex_);
  absl::StatusOr<Reply> CallAndWait(Request request);

  // On `signer-recv`.
  void ReceiveLoop() EXCLUDES_LOCK(mutex_);
  absl::Status RunSigner() EXCLUDES_LOCK(mutex_);
  absl::Status ServeLink(const SignerLink& link) EXCLUDES_LOCK(mutex_);
  void Attach(const SignerLink& link) EXCLUDES_LOCK(mutex_);
  void Detach(const absl::Status& why) EXCLUDES_LOCK(mutex_);
  absl::Status Take(Reply reply) EXCLUDES_LOCK(mutex_);
  absl::Status TakeState(const Reply::State& message) EXCLUDES_LOCK(mutex_);
  void Pause(std::chrono::milliseconds time) EXCLUDES_LOCK(mutex_);
  [[nodiscard]] bool stopping() const EXCLUDES_LOCK(mutex_);

  // On `signer-send`.
  void SendLoop() EXCLUDES_LOCK(mutex_);
  bool SendOne() EXCLUDES_LOCK(mutex_);
  bool FailExpired() EXCLUDES_LOCK(mutex_);
  [[nodiscard]] MonotonicTime NextDeadline() const REQUIRES_LOCK(mutex_);
  [[nodiscard]] bool MaySend() const REQUIRES_LOCK(mutex_);
  std::optional<Pending> Remove(uint64_t id) REQUIRES_LOCK(mutex_);

  const SignerConnector connect_;
  const Options options_;
  mutable Mutex mutex_;
  CondVar changed_;
  uint64_t last_id_ GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Pending> pending_ GUARDED_BY(mutex_);
  std::multimap<MonotonicTime, uint64_t> deadlines_ GUARDED_BY(mutex_);
  std::deque<uint64_t> unsent_ GUARDED_BY(mutex_);
  std::shared_ptr<ipc::Channel> channel_ GUARDED_BY(mutex_);  // or null
  // A signer that was just started has its TPM to open first, and would refuse.
  bool ready_ GUARDED_BY(mutex_) = false;
  MonotonicTime ready_anyhow_ GUARDED_BY(mutex_);
  std::optional<pid_t> pid_ GUARDED_BY(mutex_);
  SignerState state_ GUARDED_BY(mutex_);
  SignerStats stats_ GUARDED_BY(mutex_);
  bool refusing_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool stopped_ = false;
  std::thread receiver_;  // last: they use all of the above
  std::thread sender_;
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_REMOTE_REMOTE_SIGNER_H_
