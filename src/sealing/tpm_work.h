#ifndef VMATTEST_SEALING_TPM_WORK_H_
#define VMATTEST_SEALING_TPM_WORK_H_

#include <functional>

#include "base/clock.h"
#include "base/status.h"

namespace vmattest::sealing {

// Work for the `tpm` thread that is not a quote. All methods are called from
// that thread; whoever makes work calls Sealer::Wake() then. Errors are those
// of tpm::HostTpm: UNAVAILABLE, FAILED_PRECONDITION or DATA_LOSS make the
// sealer open the TPM again before anything else.
class TpmWork {
 public:
  virtual ~TpmWork() = default;

  // The TPM was opened, for the first time or again, or (every 30 s while
  // nothing happens) was found to be there.
  virtual absl::Status Opened() = 0;
  // One bounded piece of what waits; what fails with UNAVAILABLE may wait on.
  // False: nothing waits. A piece of several commands calls `between` between
  // two of them: who only wants the TPM's clock is answered then.
  virtual absl::StatusOr<bool> DoTurn(const std::function<void()>& between) = 0;
  // Of what waits; MonotonicTime::max() if nothing does.
  [[nodiscard]] virtual MonotonicTime FirstDeadline() const = 0;
  // Answers everyone whose deadline is before `now`.
  virtual void FailExpired(MonotonicTime now) = 0;
  // Answers everyone: the TPM is of no use or, with UNAVAILABLE, the sealer
  // ends. Before that, what Repair() is for may stay.
  virtual void FailAll(const absl::Status& status) = 0;
  // While the TPM cannot be opened: true if something was done about it.
  virtual bool Repair() { return false; }
};

}  // namespace vmattest::sealing

#endif  // VMATTEST_SEALING_TPM_WORK_H_
