#include "sealing/sealer.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "merkle/tree.h"

namespace vmattest::sealing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstPause(100);
constexpr milliseconds kLongestPause(5'000);
constexpr milliseconds kIdleProbe(30'000);
constexpr size_t kDigestSize = 32;

// Whether the TPM has to be opened again before it is asked anything else.
bool NeedsOpening(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsFailedPrecondition(status) ||
         absl::IsDataLoss(status);
}

milliseconds Longer(milliseconds pause) {
  return std::min(std::max(2 * pause, kFirstPause), kLongestPause);
}

absl::Status Expired() {
  return absl::DeadlineExceededError("the TPM did not get to it in time");
}

}  // namespace

Sealer::Sealer(tpm::HostTpm& tpm, const Clock& clock, size_t max_pending,
               StateFn on_state, std::vector<TpmWork*> others)
    : tpm_(tpm),
      clock_(clock),
      max_pending_(max_pending),
      on_state_(std::move(on_state)),
      others_(std::move(others)),
      identity_(absl::UnavailableError("the TPM was not reached yet")),
      thread_([this] { Run(); }) {}

Sealer::~Sealer() { Stop(); }

void Sealer::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) {
    thread_.join();
  }
}

absl::Status Sealer::Seal(KeyPurpose purpose, Bytes pae_digest,
                          MonotonicTime deadline, SealDone done) {
  if (pae_digest.size() != kDigestSize) {
    return absl::InvalidArgumentError(
        fmt::format("a digest of {} bytes to seal", pae_digest.size()));
  }
  {
    const MutexLock lock(mutex_);
    if (stopping_) {
      return absl::UnavailableError("the sealer is shutting down");
    }
    if (stats_.pending >= max_pending_) {
      return absl::ResourceExhaustedError(
          fmt::format("{} envelopes wait for the TPM", stats_.pending));
    }
    queues_[purpose].push_back(
        {std::move(pae_digest), deadline, std::move(done)});
    ++stats_.pending;
    arrived_ = true;
  }
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status Sealer::ReadClock(MonotonicTime deadline, ClockDone done) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) {
      return absl::UnavailableError("the sealer is shutting down");
    }
    if (clock_waiters_.size() >= max_pending_) {
      return absl::ResourceExhaustedError(fmt::format(
          "{} requests wait for the TPM's clock", clock_waiters_.size()));
    }
    clock_waiters_.push_back({deadline, std::move(done)});
    arrived_ = true;
  }
  changed_.NotifyAll();
  return absl::OkStatus();
}

void Sealer::Wake() {
  {
    const MutexLock lock(mutex_);
    arrived_ = true;
  }
  changed_.NotifyAll();
}

absl::StatusOr<evidence::HostIdentity> Sealer::Identity() const {
  const MutexLock lock(mutex_);
  return identity_;
}

SealerStats Sealer::stats() const {
  const MutexLock lock(mutex_);
  return stats_;
}

bool Sealer::Stopping() const {
  const MutexLock lock(mutex_);
  return stopping_;
}

void Sealer::Run() {
  pthread_setname_np(pthread_self(), "tpm");
  milliseconds pause(0);
  absl::Status state = Open();
  steady_clock::time_point retry_at = steady_clock::now() + kFirstPause;
  while (!Stopping()) {
    Tell(state);
    if (state.ok()) {
      state = Work();
      // A TPM that just failed is opened again at once, then ever more slowly.
      retry_at = steady_clock::now() + (state.ok() ? kIdleProbe : pause);
      pause = state.ok() ? milliseconds(0) : Longer(pause);
    } else if (Repair()) {
      retry_at = steady_clock::now();
    } else if (!absl::IsUnavailable(state)) {
      FailAll(state);
    }
    FailExpired();
    Wait(retry_at);
    if (steady_clock::now() >= retry_at) {
      state = Open();
      pause = state.ok() ? pause : Longer(pause);
      retry_at = steady_clock::now() + (state.ok() ? kIdleProbe : pause);
    }
  }
  FailAll(absl::UnavailableError("the sealer is shutting down"));
}

absl::Status Sealer::Open() {
  RETURN_IF_ERROR(tpm_.Provision());
  ASSIGN_OR_RETURN(evidence::HostIdentity identity, tpm_.GetIdentity());
  {
    const MutexLock lock(mutex_);
    identity_ = std::move(identity);
  }
  for (TpmWork* other : others_) {
    RETURN_IF_ERROR(other->Opened());
  }
  return absl::OkStatus();
}

bool Sealer::Repair() {
  bool repaired = false;
  for (TpmWork* other : others_) {
    repaired = other->Repair() || repaired;
  }
  return repaired;
}

void Sealer::Tell(const absl::Status& state) {
  if (told_ != state) {
    told_ = state;
    if (on_state_) {
      on_state_(state);
    }
  }
}

void Sealer::Wait(steady_clock::time_point until) {
  MonotonicTime first = MonotonicTime::max();
  for (const TpmWork* other : others_) {
    first = std::min(first, other->FirstDeadline());
  }
  const MutexLock lock(mutex_);
  for (const auto& [purpose, queue] : queues_) {
    for (const Pending& pending : queue) {
      first = std::min(first, pending.deadline);
    }
  }
  for (const PendingClock& waiter : clock_waiters_) {
    first = std::min(first, waiter.deadline);
  }
  const steady_clock::time_point now = steady_clock::now();
  if (const auto left = first - clock_.Monotonic(); left < until - now) {
    until = now + left;
  }
  while (!stopping_ && !arrived_ && changed_.WaitUntil(mutex_, until)) {
  }
  arrived_ = false;
}

absl::Status Sealer::Work() {
  while (!Stopping()) {
    FailExpired();
    ClockBatch waiters = TakeClockBatch();
    bool asked = !waiters.empty();
    RETURN_IF_ERROR(AnswerClock(std::move(waiters)));
    KeyPurpose purpose = KeyPurpose::kConfig;
    Batch batch;
    if (TakeBatch(&purpose, &batch)) {
      RETURN_IF_ERROR(SealBatch(purpose, std::move(batch)));
      asked = true;
    }
    ASSIGN_OR_RETURN(const bool others, DoOthersTurns());
    if (!asked && !others) {
      break;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Sealer::DoOthersTurns() {
  bool any = false;
  for (TpmWork* other : others_) {
    // What goes wrong here the other's next command meets as well.
    ASSIGN_OR_RETURN(const bool did, other->DoTurn([this] {
      (void)AnswerClock(TakeClockBatch());
    }));
    any = any || did;
  }
  return any;
}

Sealer::ClockBatch Sealer::TakeClockBatch() {
  const MutexLock lock(mutex_);
  ClockBatch waiters;
  waiters.swap(clock_waiters_);
  return waiters;
}

absl::Status Sealer::AnswerClock(ClockBatch waiters) {
  if (waiters.empty()) {
    return absl::OkStatus();
  }
  const absl::StatusOr<TpmClock> clock = tpm_.ReadClock();
  if (absl::IsUnavailable(clock.status())) {
    const MutexLock lock(mutex_);
    clock_waiters_.insert(clock_waiters_.begin(),
                          std::make_move_iterator(waiters.begin()),
                          std::make_move_iterator(waiters.end()));
    return clock.status();
  }
  for (const PendingClock& waiter : waiters) {
    waiter.done(clock);
  }
  return NeedsOpening(clock.status()) ? clock.status() : absl::OkStatus();
}

bool Sealer::TakeBatch(KeyPurpose* purpose, Batch* batch) {
  const MutexLock lock(mutex_);
  auto turn = queues_.upper_bound(last_turn_);
  for (size_t i = 0; i <= queues_.size() && !queues_.empty(); ++i, ++turn) {
    turn = turn == queues_.end() ? queues_.begin() : turn;
    if (!turn->second.empty()) {
      *purpose = last_turn_ = turn->first;
      batch->swap(turn->second);
      return true;
    }
  }
  return false;
}

void Sealer::PutBack(KeyPurpose purpose, Batch batch) {
  const MutexLock lock(mutex_);
  Batch& queue = queues_[purpose];
  queue.insert(queue.begin(), std::make_move_iterator(batch.begin()),
               std::make_move_iterator(batch.end()));
}

absl::Status Sealer::SealBatch(KeyPurpose purpose, Batch batch) {
  std::vector<DigestBytes> leaves;
  leaves.reserve(batch.size());
  for (const Pending& pending : batch) {
    leaves.push_back(evidence::BatchLeaf(pending.pae_digest));
  }
  const merkle::Tree tree(HashAlgorithm::kSha256, std::move(leaves));
  absl::StatusOr<tpm::Quote> quote = tpm_.MakeQuote(
      purpose, evidence::QualifyingData(purpose, tree.Root(), tree.size()));
  if (!quote.ok()) {
    const absl::Status status = std::move(quote).status();
    if (absl::IsUnavailable(status)) {
      PutBack(purpose, std::move(batch));
      return status;
    }
    for (Pending& pending : batch) {
      Answer(pending, status);
    }
    return NeedsOpening(status) ? status : absl::OkStatus();
  }
  {
    const MutexLock lock(mutex_);
    ++stats_.quotes;
  }
  const MonotonicTime now = clock_.Monotonic();
  for (size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].deadline < now) {
      Answer(batch[i], Expired());
      continue;
    }
    Answer(batch[i], evidence::TpmQuoteSignature{
                         .key_name = quote->key_name,
                         .quoted = quote->quoted,
                         .signature = quote->signature,
                         .pcr_banks = quote->pcr_banks,
                         .batch = {.index = i,
                                   .size = tree.size(),
                                   .path = tree.InclusionProof(i)}});
  }
  return absl::OkStatus();
}

void Sealer::Answer(Pending& pending,
                    absl::StatusOr<evidence::TpmQuoteSignature> answer) {
  {
    const MutexLock lock(mutex_);
    --stats_.pending;
    stats_.sealed += answer.ok() ? 1 : 0;
  }
  pending.done(std::move(answer));
}

void Sealer::FailExpired() {
  const MonotonicTime now = clock_.Monotonic();
  Batch expired;
  ClockBatch expired_clock;
  {
    const MutexLock lock(mutex_);
    for (auto& [purpose, queue] : queues_) {
      const auto late = std::stable_partition(
          queue.begin(), queue.end(),
          [&](const Pending& pending) { return pending.deadline >= now; });
      std::move(late, queue.end(), std::back_inserter(expired));
      queue.erase(late, queue.end());
    }
    const auto late = std::stable_partition(
        clock_waiters_.begin(), clock_waiters_.end(),
        [&](const PendingClock& waiter) { return waiter.deadline >= now; });
    std::move(late, clock_waiters_.end(), std::back_inserter(expired_clock));
    clock_waiters_.erase(late, clock_waiters_.end());
  }
  for (Pending& pending : expired) {
    Answer(pending, Expired());
  }
  for (const PendingClock& waiter : expired_clock) {
    waiter.done(Expired());
  }
  for (TpmWork* other : others_) {
    other->FailExpired(now);
  }
}

void Sealer::FailAll(const absl::Status& status) {
  for (TpmWork* other : others_) {
    other->FailAll(status);
  }
  for (const PendingClock& waiter : TakeClockBatch()) {
    waiter.done(status);
  }
  KeyPurpose purpose = KeyPurpose::kConfig;
  for (Batch batch; TakeBatch(&purpose, &batch); batch.clear()) {
    for (Pending& pending : batch) {
      Answer(pending, status);
    }
  }
}

}  // namespace vmattest::sealing
