#ifndef VMATTEST_GATE_LAUNCH_SESSIONS_H_
#define VMATTEST_GATE_LAUNCH_SESSIONS_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "gate/launch_session.h"
#include "gate/session_store.h"

namespace vmattest::gate {

// The launches under way, in memory alone: a daemon that died within a launch
// has not approved it; and the VMs that run since, by UUID, also in `store`.
// Callable from any thread; libvirt's own lock of each domain keeps calls about
// it in order.
class LaunchSessions {
 public:
  static constexpr size_t kMost = 16384;
  static constexpr std::chrono::minutes kUnfinished{60};

  // `store` may be null; what it has is there from the beginning.
  explicit LaunchSessions(const Clock& clock, SessionStore* store = nullptr);

  std::optional<LaunchSession> Find(const std::string& vm_uuid) const
      EXCLUDES_LOCK(mutex_);
  // False: there are too many. On disk when it returns, if it runs.
  bool Put(const std::string& vm_uuid, LaunchSession session)
      EXCLUDES_LOCK(mutex_);
  // A VM that was started paused was looked at.
  void MarkChecked(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  void MarkDrifted(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  // Until it stops, links that are down are this daemon's own doing.
  void MarkIsolated(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  void Erase(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  // Those that run and did not drift, or did.
  std::vector<std::string> Running(bool drifted = false) const
      EXCLUDES_LOCK(mutex_);

  // The hook was called for a launch of that VM; whether it was lately.
  void NoteCalled(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  bool WasCalled(const std::string& vm_uuid) const EXCLUDES_LOCK(mutex_);

 private:
  void Tidy() REQUIRES_LOCK(mutex_);
  void Mark(const std::string& vm_uuid, bool LaunchSession::*mark)
      EXCLUDES_LOCK(mutex_);
  // Brings the disk to what is in memory, whoever changes it meanwhile.
  void Sync(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);

  const Clock& clock_;
  Mutex store_mutex_;
  SessionStore* const store_ GUARDED_BY(store_mutex_);
  mutable Mutex mutex_;
  std::map<std::string, LaunchSession> sessions_ GUARDED_BY(mutex_);
  std::map<std::string, MonotonicTime> called_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_LAUNCH_SESSIONS_H_
