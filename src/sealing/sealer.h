#ifndef VMATTEST_SEALING_SEALER_H_
#define VMATTEST_SEALING_SEALER_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "evidence/envelope.h"
#include "sealing/tpm_work.h"
#include "tpm/host_tpm.h"

namespace vmattest::sealing {

// Called once, from the `tpm` thread: hand over and return.
using SealDone =
    std::function<void(absl::StatusOr<evidence::TpmQuoteSignature>)>;

struct SealerStats {
  uint64_t pending = 0;
  uint64_t quotes = 0;
  uint64_t sealed = 0;
};

// Seals envelopes in batches: while the TPM makes one quote, what arrives
// waits, and the next quote covers all of it. Each purpose has its own queue
// and its own quotes (rule S2); purposes take turns. A lone request waits for
// nothing. Owns the `tpm` thread: the only one that talks to the TPM. Others'
// work (TpmWork) has its turn after each quote.
//
// While the TPM answers UNAVAILABLE, requests wait for it until their deadline;
// any other failure is their answer. Whoever passed its deadline before a quote
// begins is in no batch. Deadlines are kept to within one TPM command.
class Sealer {
 public:
  // All must outlive the sealer. Starts the thread, which opens the TPM and,
  // when it goes away, reopens it with growing pauses (0.1 to 5 s); idle, it
  // looks every 30 s. `on_state` is told each change, from that thread.
  using StateFn = std::function<void(const absl::Status&)>;
  Sealer(tpm::HostTpm& tpm, const Clock& clock, size_t max_pending,
         StateFn on_state, std::vector<TpmWork*> others = {});
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;
  ~Sealer();

  // Fails what is pending with UNAVAILABLE and refuses what comes. Waits for
  // the TPM command that is running. Idempotent; one thread.
  void Stop();

  // Never blocks. `pae_digest` is SHA-256 of the pre-authentication encoding.
  // Past `deadline` the answer is DEADLINE_EXCEEDED. RESOURCE_EXHAUSTED:
  // `max_pending` are waiting; UNAVAILABLE: shutting down; INVALID_ARGUMENT:
  // no SHA-256 digest. Then `done` is not called.
  [[nodiscard]] absl::Status Seal(KeyPurpose purpose, Bytes pae_digest,
                                  MonotonicTime deadline, SealDone done);

  // The TPM's clock, for measured_at (rule S8). Asks the TPM, on its thread,
  // once for all that wait. Never blocks; errors as Seal().
  using ClockDone = std::function<void(absl::StatusOr<TpmClock>)>;
  [[nodiscard]] absl::Status ReadClock(MonotonicTime deadline, ClockDone done);

  // As of the last successful Provision(). Never blocks.
  // UNAVAILABLE: the TPM was not reached yet.
  [[nodiscard]] absl::StatusOr<evidence::HostIdentity> Identity() const;
  [[nodiscard]] SealerStats stats() const;

  // Some of the others' work waits.
  void Wake();

 private:
  struct Pending {
    Bytes pae_digest;
    MonotonicTime deadline;
    SealDone done;
  };
  using Batch = std::deque<Pending>;
  struct PendingClock {
    MonotonicTime deadline;
    ClockDone done;
  };
  using ClockBatch = std::deque<PendingClock>;

  // All below runs on the `tpm` thread.
  void Run();
  absl::Status Open();
  // Waits for work, a stop, a deadline, or until `until`.
  void Wait(std::chrono::steady_clock::time_point until) EXCLUDES_LOCK(mutex_);
  void Tell(const absl::Status& state);
  // Turns until nobody waits: the clock for all that wait, one quote for one
  // purpose, the others' work. The error that makes it necessary to open the
  // TPM again, or OK.
  absl::Status Work();
  absl::StatusOr<bool> DoOthersTurns();
  bool Repair();
  // Those who wait for the clock.
  ClockBatch TakeClockBatch() EXCLUDES_LOCK(mutex_);
  absl::Status AnswerClock(ClockBatch waiters);
  absl::Status SealBatch(KeyPurpose purpose, Batch batch);
  // Takes the turn of the next purpose that has somebody waiting.
  bool TakeBatch(KeyPurpose* purpose, Batch* batch) EXCLUDES_LOCK(mutex_);
  void PutBack(KeyPurpose purpose, Batch batch) EXCLUDES_LOCK(mutex_);
  void Answer(Pending& pending,
              absl::StatusOr<evidence::TpmQuoteSignature> answer)
      EXCLUDES_LOCK(mutex_);
  void FailExpired() EXCLUDES_LOCK(mutex_);
  void FailAll(const absl::Status& status) EXCLUDES_LOCK(mutex_);
  [[nodiscard]] bool Stopping() const EXCLUDES_LOCK(mutex_);

  tpm::HostTpm& tpm_;
  const Clock& clock_;
  const size_t max_pending_;
  const StateFn on_state_;
  const std::vector<TpmWork*> others_;
  std::optional<absl::Status> told_;  // `tpm` thread only
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<KeyPurpose, Batch> queues_ GUARDED_BY(mutex_);
  KeyPurpose last_turn_ GUARDED_BY(mutex_) = KeyPurpose::kAuthorization;
  ClockBatch clock_waiters_ GUARDED_BY(mutex_);
  absl::StatusOr<evidence::HostIdentity> identity_ GUARDED_BY(mutex_);
  SealerStats stats_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool arrived_ GUARDED_BY(mutex_) = false;  // since the last Wait
  std::thread thread_;                       // last: it uses all of the above
};

}  // namespace vmattest::sealing

#endif  // VMATTEST_SEALING_SEALER_H_
