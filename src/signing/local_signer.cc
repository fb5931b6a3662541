#include "signing/local_signer.h"

#include <chrono>
#include <future>
#include <utility>

#include "crypto/digest.h"
#include "crypto/ml_dsa.h"
#include "fmt/format.h"
#include "signing/statement_check.h"

namespace vmattest::signing {
namespace {

using std::chrono::seconds;

constexpr seconds kCloseTimeout(2);

absl::Status ShuttingDown() {
  return absl::UnavailableError("the signer is shutting down");
}

}  // namespace

// One envelope between its signatures.
struct LocalSigner::Envelope {
  Bytes encoding;
  KeyPurpose purpose = KeyPurpose::kConfig;
  std::vector<std::string> algorithms;
  SealDone done;

  Mutex mutex;
  size_t missing GUARDED_BY(mutex) = 0;
  absl::StatusOr<evidence::TpmQuoteSignature> quote;
  absl::StatusOr<evidence::RawSignature> pq;
  uint32_t pq_epoch = 0;

  // True for who brings the last signature.
  bool Brought() {
    const MutexLock lock(mutex);
    return --missing == 0;
  }
};

LocalSigner::LocalSigner(tpm::HostTpm& tpm, const Clock& clock, Options options)
    : clock_(clock),
      pq_mode_(options.work.post_quantum.mode),
      work_(tpm, clock, options.work),
      pq_("pq", options.pq_threads, options.work.max_pending) {
  sealer_ = std::make_unique<sealing::Sealer>(
      tpm, clock, options.work.max_pending,
      [this](const absl::Status& status) { work_.TpmIs(status); },
      std::vector<sealing::TpmWork*>{&work_});
}

LocalSigner::~LocalSigner() { Stop(); }

void LocalSigner::Stop() {
  if (std::exchange(stopped_, true)) {
    return;
  }
  if (const auto state = work_.state(); state->tpm.ok() && state->log) {
    CloseLog();
  }
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  sealer_->Stop();
  work_.FailAll(ShuttingDown());
  pq_.Shutdown();
}

void LocalSigner::CloseLog() {
  std::promise<void> answered;
  const absl::Status queued =
      Append({.kind = std::string(kStoppedEvent),
              .facts = {},
              .time_unix_ms = clock_.Now().time_since_epoch().count()},
             clock_.Monotonic() + kCloseTimeout,
             [&answered](const absl::StatusOr<eventlog::LogHead>&) {
               answered.set_value();
             });
  if (queued.ok()) {
    answered.get_future().wait();
  }
}

absl::Status LocalSigner::Seal(std::string payload_type, Bytes payload,
                               MonotonicTime deadline, SealDone done) {
  const std::shared_ptr<const SignerState> state = work_.state();
  if (pq_mode_ == PqMode::kRequired && state->pq != PqState::kUnsealed) {
    return absl::FailedPreconditionError(
        fmt::format("a post-quantum signature is required, and its key is {}: "
                    "{}",
                    ToString(state->pq), state->pq_detail));
  }
  const auto envelope = std::make_shared<Envelope>();
  ASSIGN_OR_RETURN(envelope->purpose,
                   CheckStatement(payload_type, payload, *state));
  envelope->encoding = evidence::PreAuthEncoding(payload_type, payload);
  envelope->algorithms = state->algorithms;
  envelope->done = std::move(done);
  {
    const MutexLock lock(envelope->mutex);
    envelope->missing = envelope->algorithms.size();
  }
  RETURN_IF_ERROR(sealer_->Seal(
      envelope->purpose, Hash(HashAlgorithm::kSha256, envelope->encoding),
      deadline,
      [this, envelope](absl::StatusOr<evidence::TpmQuoteSignature> quote) {
        envelope->quote = std::move(quote);
        Finish(envelope);
      }));
  if (envelope->algorithms.size() > 1) {
    const auto keys = work_.keys();
    const auto active = keys->active.find(envelope->purpose);
    SignPq(envelope, active == keys->active.end() ? 0 : active->second);
  }
  return absl::OkStatus();
}

void LocalSigner::SignPq(const EnvelopePtr& envelope, uint32_t epoch) {
  envelope->pq_epoch = epoch;
  const auto sign = [this, envelope, epoch] {
    const std::shared_ptr<const PqView> pq = work_.keys()->pq;
    const auto key = pq->signers.find({envelope->purpose, epoch});
    if (key == pq->signers.end()) {
      envelope->pq = absl::AbortedError("the post-quantum key was replaced");
    } else if (absl::StatusOr<Bytes> signature = key->second->Sign(
                   envelope->encoding, evidence::kMlDsaContext);
               signature.ok()) {
      envelope->pq = evidence::RawSignature{.key_id = key->second->key_id(),
                                            .signature = *std::move(signature)};
    } else {
      envelope->pq = signature.status();
    }
    Finish(envelope);
  };
  if (absl::Status submitted = pq_.Submit(sign); !submitted.ok()) {
    envelope->pq = std::move(submitted);
    Finish(envelope);
  }
}

bool LocalSigner::SameEpoch(const EnvelopePtr& envelope,
                            absl::Status* refused) {
  const auto keys = work_.keys();
  const auto epoch = keys->epochs.find(envelope->quote->key_name);
  if (epoch == keys->epochs.end()) {
    *refused = absl::AbortedError("the key that signed was replaced");
    return true;
  }
  if (epoch->second == envelope->pq_epoch) {
    *refused = envelope->pq.status();
    return true;
  }
  {
    const MutexLock lock(envelope->mutex);
    envelope->missing = 1;
  }
  SignPq(envelope, epoch->second);
  return false;
}

void LocalSigner::Finish(const EnvelopePtr& envelope) {
  if (!envelope->Brought()) {
    return;
  }
  absl::Status refused = envelope->quote.status();
  const bool both = envelope->algorithms.size() > 1;
  // The key was rotated between the two: the quote says what it is now.
  if (refused.ok() && both && !SameEpoch(envelope, &refused)) {
    return;
  }
  if (!refused.ok()) {
    envelope->done(refused);
    return;
  }
  std::vector<evidence::Signature> signatures;
  signatures.push_back({.algorithm = envelope->algorithms.front(),
                        .body = *std::move(envelope->quote)});
  if (both) {
    signatures.push_back({.algorithm = envelope->algorithms.back(),
                          .body = *std::move(envelope->pq)});
  }
  envelope->done(std::move(signatures));
}

absl::Status LocalSigner::ReadClock(MonotonicTime deadline, ClockDone done) {
  return sealer_->ReadClock(deadline, std::move(done));
}

absl::Status LocalSigner::Append(eventlog::HostEvent event,
                                 MonotonicTime deadline, AppendDone done) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) {
      return ShuttingDown();
    }
    RETURN_IF_ERROR(
        work_.events().Append(std::move(event), deadline, std::move(done)));
  }
  sealer_->Wake();
  return absl::OkStatus();
}

absl::Status LocalSigner::AddTask(TpmTasks::Task task) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) {
      return ShuttingDown();
    }
    RETURN_IF_ERROR(work_.tasks().Add(std::move(task)));
  }
  sealer_->Wake();
  return absl::OkStatus();
}

absl::Status LocalSigner::CertifyLog(Bytes nonce, MonotonicTime deadline,
                                     CertifyDone done) {
  if (nonce.size() > evidence::kMaxNonceSize) {
    return absl::InvalidArgumentError(
        fmt::format("a nonce of {} bytes", nonce.size()));
  }
  const auto made = std::make_shared<evidence::AnchorCertification>();
  return AddTask({.deadline = deadline,
                  .again = true,
                  .repairs = false,
                  .run =
                      [this, made, nonce = std::move(nonce)] {
                        auto certified = work_.CertifyLog(nonce);
                        if (certified.ok()) {
                          *made = *std::move(certified);
                        }
                        return certified.status();
                      },
                  .done =
                      [made, done = std::move(done)](const absl::Status& s) {
                        if (s.ok()) {
                          done(std::move(*made));
                        } else {
                          done(s);
                        }
                      }});
}

SignerStats LocalSigner::stats() const {
  const sealing::SealerStats stats = sealer_->stats();
  return {
      .pending = stats.pending, .quotes = stats.quotes, .sealed = stats.sealed};
}

absl::Status LocalSigner::RunTask(std::function<absl::Status()> run, bool again,
                                  bool repairs) {
  std::promise<absl::Status> promise;
  RETURN_IF_ERROR(AddTask({.deadline = clock_.Monotonic() + kAdminTimeout,
                           .again = again,
                           .repairs = repairs,
                           .run = std::move(run),
                           .done = [&promise](const absl::Status& status) {
                             promise.set_value(status);
                           }}));
  return promise.get_future().get();
}

absl::Status LocalSigner::RunLogged(
    const std::function<absl::Status(AppendDone logged)>& run, bool repairs) {
  // Shared: after an error nobody waits for it.
  const auto logged = std::make_shared<std::promise<absl::Status>>();
  RETURN_IF_ERROR(RunTask(
      [&] {
        return run([logged](const absl::StatusOr<eventlog::LogHead>& head) {
          logged->set_value(head.status());
        });
      },
      false, repairs));
  return Annotate(logged->get_future().get(),
                  "it was done, but logging it failed");
}

absl::StatusOr<std::vector<Signer::KeyStatus>> LocalSigner::ListKeys() {
  std::vector<KeyStatus> keys;
  RETURN_IF_ERROR(RunTask(
      [&]() -> absl::Status {
        ASSIGN_OR_RETURN(keys, work_.ListKeys());
        return absl::OkStatus();
      },
      true));
  return keys;
}

absl::StatusOr<uint32_t> LocalSigner::RotateKey(KeyPurpose purpose) {
  uint32_t epoch = 0;
  RETURN_IF_ERROR(RunLogged([&](AppendDone logged) -> absl::Status {
    ASSIGN_OR_RETURN(epoch,
                     work_.RotateKey(purpose, "admin", std::move(logged)));
    return absl::OkStatus();
  }));
  return epoch;
}

absl::Status LocalSigner::RevokeKey(KeyPurpose purpose, uint32_t epoch) {
  return RunLogged([&](AppendDone logged) {
    return work_.RevokeKey(purpose, epoch, std::move(logged));
  });
}

absl::StatusOr<Signer::SealStatus> LocalSigner::GetSealStatus() {
  SealStatus status;
  RETURN_IF_ERROR(RunTask(
      [&]() -> absl::Status {
        ASSIGN_OR_RETURN(status, work_.GetSealStatus());
        return absl::OkStatus();
      },
      true));
  return status;
}

absl::StatusOr<PqState> LocalSigner::ApproveBoot(
    std::vector<evidence::SealApproval> approvals, bool current_boot,
    bool revoke_older) {
  PqState state = PqState::kUnavailable;
  RETURN_IF_ERROR(RunLogged([&](AppendDone logged) -> absl::Status {
    ASSIGN_OR_RETURN(state, work_.ApproveBoot(approvals, current_boot,
                                              revoke_older, std::move(logged)));
    return absl::OkStatus();
  }));
  return state;
}

absl::StatusOr<SecretBytes> LocalSigner::ActivateCredential(
    const Bytes& credential_blob, const Bytes& encrypted_secret) {
  SecretBytes secret;
  RETURN_IF_ERROR(RunTask(
      [&]() -> absl::Status {
        ASSIGN_OR_RETURN(secret, work_.ActivateCredential(credential_blob,
                                                          encrypted_secret));
        return absl::OkStatus();
      },
      true));
  return secret;
}

absl::StatusOr<std::string> LocalSigner::ReEnroll(const std::string& host_id) {
  std::string made;
  RETURN_IF_ERROR(RunLogged(
      [&](AppendDone logged) -> absl::Status {
        ASSIGN_OR_RETURN(made, work_.ReEnroll(host_id, std::move(logged)));
        return absl::OkStatus();
      },
      true));
  return made;
}

}  // namespace vmattest::signing
