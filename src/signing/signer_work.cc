#include "signing/signer_work.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "crypto/ml_dsa.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"

namespace vmattest::signing {
namespace {

using KeyState = tpm::KeyEpoch::State;

constexpr std::chrono::minutes kSchedulePause(1);
constexpr std::chrono::hours kAfterAFailure(1);
constexpr int64_t kDayMs = 24LL * 60 * 60 * 1000;
constexpr size_t kMaxHostId = 256;
constexpr mode_t kSecretFile = 0600;

std::map<std::string, std::string> FactsOf(KeyPurpose purpose, uint32_t epoch) {
  return {{"purpose", std::string(ToString(purpose))},
          {"epoch", std::to_string(epoch)}};
}

bool IsTheTpms(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDataLoss(status);
}

}  // namespace

SignerWork::SignerWork(tpm::HostTpm& tpm, const Clock& clock,
                       SignerWorkOptions options)
    : tpm_(tpm),
      clock_(clock),
      options_(std::move(options)),
      folder_(options_.state_dir / "eventlog"),
      log_(tpm, folder_, clock, options_.log_pcr),
      events_(log_, options_.max_pending, [this] { Publish(); }),
      tasks_(options_.max_pending),
      pq_(tpm, options_.state_dir, options_.post_quantum),
      keys_(std::make_shared<Keys>(Keys{.pq = pq_.view()})) {
  Publish();
}

std::shared_ptr<const SignerState> SignerWork::state() const {
  const MutexLock lock(mutex_);
  return state_;
}

std::shared_ptr<const SignerWork::Keys> SignerWork::keys() const {
  const MutexLock lock(mutex_);
  return keys_;
}

void SignerWork::Publish() {
  auto state = std::make_shared<SignerState>();
  const std::shared_ptr<const PqView> pq = keys()->pq;
  state->tpm = tpm_status_;
  state->identity = identity_;
  if (state->identity) {
    state->identity->pq_keys = pq->keys;
    state->identity->seal_authority = pq->authority;
  }
  state->algorithms.emplace_back(evidence::kTpmQuoteAlgorithm);
  if (pq->state == PqState::kUnsealed) {
    state->algorithms.emplace_back(ToString(options_.post_quantum.level));
  }
  if (log_.status().ok()) {
    state->log = log_.head();
    state->boot_record = log_.boot_record();
    state->log_problem = log_.problem();
  } else {
    state->log_problem = fmt::format("the host event log is closed: {}",
                                     std::string(log_.status().message()));
  }
  state->pq = pq->state;
  state->pq_detail = pq->detail;
  {
    const MutexLock lock(mutex_);
    state_ = state;
  }
  if (options_.on_state) {
    options_.on_state(*state);
  }
}

void SignerWork::TpmIs(const absl::Status& status) {
  tpm_status_ = status;
  Publish();
}

absl::Status SignerWork::Opened() {
  ASSIGN_OR_RETURN(identity_, tpm_.GetIdentity());
  RETURN_IF_ERROR(PutAsideIfAnotherHost(identity_->host_id));
  RETURN_IF_ERROR(events_.Opened());
  RETURN_IF_ERROR(RefreshKeys());
  opened_ = true;
  reopen_ = false;
  return KeepSchedule();
}

absl::StatusOr<bool> SignerWork::DoTurn(const std::function<void()>& between) {
  RETURN_IF_ERROR(KeepSchedule());
  ASSIGN_OR_RETURN(const bool logged, events_.DoTurn(between));
  const absl::StatusOr<bool> did = tasks_.DoTurn(between);
  if (std::exchange(reopen_, false)) {
    RETURN_IF_ERROR(Opened());
  }
  RETURN_IF_ERROR(did.status());
  return logged || *did;
}

MonotonicTime SignerWork::FirstDeadline() const {
  return std::min(events_.FirstDeadline(), tasks_.FirstDeadline());
}

void SignerWork::FailExpired(MonotonicTime now) {
  events_.FailExpired(now);
  tasks_.FailExpired(now);
}

void SignerWork::FailAll(const absl::Status& status) {
  events_.FailAll(status);
  tasks_.FailAll(status);
}

// Only re-enrolment makes another host of this one: what was kept for the one
// before cannot be used by it, and must not be lost.
absl::Status SignerWork::PutAsideIfAnotherHost(const std::string& host_id) {
  const std::filesystem::path file = options_.state_dir / "host-id";
  const absl::StatusOr<Bytes> known = ReadFile(file, kMaxHostId);
  if (known.ok() && AsText(*known) == host_id) {
    return absl::OkStatus();
  }
  if (!known.ok() && !absl::IsNotFound(known.status())) {
    return absl::UnavailableError(
        fmt::format("the signer's state: {}", known.status().ToString()));
  }
  if (known.ok()) {
    const std::string suffix =
        fmt::format(".{}.{}", AsText(*known).substr(0, 16),
                    clock_.Now().time_since_epoch().count());
    if (const absl::Status moved = PutAside(suffix); !moved.ok()) {
      return absl::UnavailableError(moved.ToString());
    }
  }
  // On a full disk next time: until then there is nothing to mix up.
  (void)WriteFileAtomic(file, AsBytes(host_id), kSecretFile);
  return absl::OkStatus();
}

absl::Status SignerWork::PutAside(const std::string& suffix) {
  RETURN_IF_ERROR(pq_.PutAside(suffix));
  const std::filesystem::path log = options_.state_dir / "eventlog";
  std::error_code error;
  std::filesystem::rename(log, log.string() + suffix, error);
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoStatus(error.value(), "putting the event log aside");
  }
  return absl::OkStatus();
}

absl::Status SignerWork::RefreshKeys() {
  ASSIGN_OR_RETURN(identity_, tpm_.GetIdentity());
  ASSIGN_OR_RETURN(const std::vector<tpm::KeyEpoch> list, tpm_.ListKeys());
  const absl::Status refreshed = pq_.Refresh(identity_->host_id, list);
  auto keys = std::make_shared<Keys>(Keys{.pq = pq_.view()});
  for (const tpm::KeyEpoch& key : list) {
    const evidence::KeyCertification& certification = key.certification;
    ASSIGN_OR_RETURN(const Bytes name,
                     evidence::NameOf(certification.public_area));
    keys->epochs[name] = certification.epoch;
    if (key.state == KeyState::kActive) {
      keys->active[certification.purpose] = certification.epoch;
    }
  }
  {
    const MutexLock lock(mutex_);
    keys_ = std::move(keys);
  }
  Publish();
  return refreshed;
}

absl::Status SignerWork::KeepSchedule() {
  if (!opened_ || clock_.Monotonic() < next_check_) {
    return absl::OkStatus();
  }
  next_check_ = clock_.Monotonic() + kSchedulePause;
  ASSIGN_OR_RETURN(const std::vector<tpm::KeyEpoch> list, tpm_.ListKeys());
  // Making room goes before taking it.
  for (const KeyState state : {KeyState::kOverlap, KeyState::kActive}) {
    for (const tpm::KeyEpoch& key : list) {
      const absl::Status kept =
          key.state == state ? KeepScheduleOf(key) : absl::OkStatus();
      if (IsTheTpms(kept)) {
        return kept;
      }
      if (!kept.ok()) {
        next_check_ = clock_.Monotonic() + kAfterAFailure;
        std::map<std::string, std::string> facts =
            FactsOf(key.certification.purpose, key.certification.epoch);
        facts.emplace("error", kept.message());
        Log("key-rotation-failed", std::move(facts), MonotonicTime::max(),
            nullptr);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status SignerWork::KeepScheduleOf(const tpm::KeyEpoch& key) {
  const int64_t age =
      clock_.Now().time_since_epoch().count() - key.since_unix_ms;
  const KeyPurpose purpose = key.certification.purpose;
  if (key.state == KeyState::kOverlap &&
      age >= options_.overlap_days * kDayMs) {
    const uint32_t epoch = key.certification.epoch;
    RETURN_IF_ERROR(tpm_.RetireKey(purpose, epoch));
    Log("key-retired", FactsOf(purpose, epoch), MonotonicTime::max(), nullptr);
    return RefreshKeys();
  }
  if (key.state == KeyState::kActive && options_.rotate_days != 0 &&
      age >= options_.rotate_days * kDayMs) {
    return RotateKey(purpose, "schedule", nullptr).status();
  }
  return absl::OkStatus();
}

void SignerWork::Log(std::string kind, std::map<std::string, std::string> facts,
                     MonotonicTime deadline, Signer::AppendDone logged) {
  if (!logged) {
    logged = [](const absl::StatusOr<eventlog::LogHead>&) {};
  }
  const absl::Status queued =
      events_.Append({.kind = std::move(kind),
                      .facts = std::move(facts),
                      .time_unix_ms = clock_.Now().time_since_epoch().count()},
                     deadline, logged);
  if (!queued.ok()) {
    logged(queued);
  }
}

absl::StatusOr<evidence::AnchorCertification> SignerWork::CertifyLog(
    ByteView nonce) {
  return tpm_.CertifyLogAnchor(evidence::LogAnchorQualifyingData(nonce));
}

absl::StatusOr<std::vector<Signer::KeyStatus>> SignerWork::ListKeys() {
  ASSIGN_OR_RETURN(std::vector<tpm::KeyEpoch> list, tpm_.ListKeys());
  const std::shared_ptr<const PqView> pq = pq_.view();
  std::vector<Signer::KeyStatus> statuses;
  for (tpm::KeyEpoch& key : list) {
    Signer::KeyStatus& status = statuses.emplace_back();
    for (const evidence::PqKey& beside : pq->keys) {
      if (beside.purpose == key.certification.purpose &&
          beside.epoch == key.certification.epoch) {
        status.pq_algorithm = beside.algorithm;
        status.pq_key_id = MlDsaKeyId(beside.public_key);
      }
    }
    status.key = std::move(key);
  }
  return statuses;
}

absl::StatusOr<uint32_t> SignerWork::RotateKey(KeyPurpose purpose,
                                               std::string_view cause,
                                               Signer::AppendDone logged) {
  ASSIGN_OR_RETURN(const evidence::KeyCertification made,
                   tpm_.RotateKey(purpose));
  std::map<std::string, std::string> facts = FactsOf(purpose, made.epoch);
  facts.emplace("cause", cause);
  Log("key-rotated", std::move(facts),
      logged ? AdminDeadline() : MonotonicTime::max(), std::move(logged));
  RETURN_IF_ERROR(RefreshKeys());
  return made.epoch;
}

absl::Status SignerWork::RevokeKey(KeyPurpose purpose, uint32_t epoch,
                                   Signer::AppendDone logged) {
  RETURN_IF_ERROR(tpm_.RevokeKey(purpose, epoch).status());
  Log("key-revoked", FactsOf(purpose, epoch), AdminDeadline(),
      std::move(logged));
  return RefreshKeys();
}

absl::StatusOr<Signer::SealStatus> SignerWork::GetSealStatus() {
  Signer::SealStatus status;
  ASSIGN_OR_RETURN(status.current, tpm_.ReadSealRegisters());
  const std::shared_ptr<const PqView> pq = pq_.view();
  status.state = pq->state;
  status.detail = pq->detail;
  status.authority = pq->authority;
  status.approvals = pq->approvals;
  return status;
}

absl::StatusOr<SecretBytes> SignerWork::ActivateCredential(
    ByteView credential_blob, ByteView encrypted_secret) {
  return tpm_.ActivateCredential(credential_blob, encrypted_secret);
}

absl::StatusOr<PqState> SignerWork::ApproveBoot(
    const std::vector<evidence::SealApproval>& approvals, bool current_boot,
    bool revoke_older, Signer::AppendDone logged) {
  const std::string& host_id = identity_->host_id;
  RETURN_IF_ERROR(pq_.Install(host_id, approvals));
  if (revoke_older) {
    RETURN_IF_ERROR(pq_.RevokeApprovals());
  }
  if (current_boot) {
    RETURN_IF_ERROR(pq_.ApproveCurrentBoot(host_id));
  }
  Log("boot-approved",
      {{"approvals", std::to_string(approvals.size())},
       {"current_boot", current_boot ? "true" : "false"},
       {"revoke_older", revoke_older ? "true" : "false"}},
      AdminDeadline(), std::move(logged));
  RETURN_IF_ERROR(RefreshKeys());
  return pq_.view()->state;
}

absl::StatusOr<std::string> SignerWork::ReEnroll(const std::string& host_id,
                                                 Signer::AppendDone logged) {
  RETURN_IF_ERROR(tpm_.ReEnroll(host_id));
  reopen_ = true;
  ASSIGN_OR_RETURN(const evidence::HostIdentity identity, tpm_.GetIdentity());
  Log("re-enrolled", {{"old_host_id", host_id}, {"host_id", identity.host_id}},
      AdminDeadline(), std::move(logged));
  return identity.host_id;
}

MonotonicTime SignerWork::AdminDeadline() const {
  return clock_.Monotonic() + kAdminTimeout;
}

}  // namespace vmattest::signing
