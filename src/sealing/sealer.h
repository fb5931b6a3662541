#ifndef VMATTEST_SEALING_SEALER_H_
#define VMATTEST_SEALING_SEALER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <thread>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "evidence/envelope.h"
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
// nothing. Owns the `tpm` thread: the only one that talks to the TPM.
class Sealer {
 public:
  // `tpm` and `clock` must outlive the sealer. Starts the thread, which opens
  // the TPM and, when it goes away, reopens it with growing pauses;
  // `on_state` is told each change, from that thread.
  using StateFn = std::function<void(const absl::Status&)>;
  Sealer(tpm::HostTpm& tpm, const Clock& clock, size_t max_pending,
         StateFn on_state);
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;
  // Fails what is pending with UNAVAILABLE.
  ~Sealer();

  // Never blocks. `pae_digest` is SHA-256 of the pre-authentication encoding.
  // Past `deadline` the answer is DEADLINE_EXCEEDED. RESOURCE_EXHAUSTED:
  // `max_pending` are waiting, `done` is not called.
  [[nodiscard]] absl::Status Seal(KeyPurpose purpose, Bytes pae_digest,
                                  MonotonicTime deadline, SealDone done);

  // The TPM's clock as last seen, advanced by the host's monotonic clock is
  // not good enough for measured_at: this asks the TPM, on its thread, and
  // shares one answer among all that wait. Never blocks.
  using ClockDone = std::function<void(absl::StatusOr<TpmClock>)>;
  [[nodiscard]] absl::Status ReadClock(MonotonicTime deadline, ClockDone done);

  // As of the last successful Provision(). Never blocks.
  // UNAVAILABLE: the TPM was not reached yet.
  [[nodiscard]] absl::StatusOr<evidence::HostIdentity> Identity() const;
  [[nodiscard]] SealerStats stats() const;

 private:
  struct Pending {
    Bytes pae_digest;
    MonotonicTime deadline;
    SealDone done;
  };
  struct PendingClock {
    MonotonicTime deadline;
    ClockDone done;
  };
  void Run();

  tpm::HostTpm& tpm_;
  const Clock& clock_;
  const size_t max_pending_;
  const StateFn on_state_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<KeyPurpose, std::deque<Pending>> queues_ GUARDED_BY(mutex_);
  std::deque<PendingClock> clock_waiters_ GUARDED_BY(mutex_);
  absl::StatusOr<evidence::HostIdentity> identity_ GUARDED_BY(mutex_);
  SealerStats stats_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace vmattest::sealing

#endif  // VMATTEST_SEALING_SEALER_H_
