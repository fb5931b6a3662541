#ifndef VMATTEST_CAPTURE_SCHEDULER_H_
#define VMATTEST_CAPTURE_SCHEDULER_H_

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "capture/capturer.h"

namespace vmattest::capture {

// Captures running VMs by the policies that have a schedule, each at its own
// moment, which nobody outside can foresee (rule S24): `every_seconds` more or
// less by up to the policy's jitter. Samples are drawn by a nonce of its own.
// What fails is logged, and tried again at the next moment.
class Scheduler {
 public:
  // Below the bound, evenly; must not be guessable.
  using Random = std::function<uint64_t(uint64_t bound)>;
  // All must outlive it.
  Scheduler(Capturer& capturer, hypervisor::Hypervisor& hypervisor,
            Executor& work, const Clock& clock, Random random)
      : capturer_(capturer),
        hypervisor_(hypervisor),
        work_(work),
        clock_(clock),
        random_(std::move(random)) {}

  // What is due now begins, on `work`. Never blocks; any thread, often.
  void Tick() EXCLUDES_LOCK(mutex_);

 private:
  using Key = std::pair<Uuid, std::string>;  // VM and policy
  void Look() EXCLUDES_LOCK(mutex_);
  // Whether it is due; plans the next time if it is, or is new.
  bool IsDue(const Key& key, const snapshot::Policy::Schedule& schedule)
      EXCLUDES_LOCK(mutex_);

  Capturer& capturer_;
  hypervisor::Hypervisor& hypervisor_;
  Executor& work_;
  const Clock& clock_;
  const Random random_;
  Mutex mutex_;
  bool looking_ GUARDED_BY(mutex_) = false;
  std::map<Key, MonotonicTime> due_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_SCHEDULER_H_
