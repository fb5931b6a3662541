#ifndef VMATTEST_CAPTURE_BOOT_COUNT_H_
#define VMATTEST_CAPTURE_BOOT_COUNT_H_

#include <map>

#include "base/mutex.h"
#include "base/uuid.h"
#include "evidence/statement.h"

namespace vmattest::capture {

// Counts how often each VM was reset, as the hypervisor tells
// (StateStatement.boot). A VM has a listener of its own from when it is first
// asked for, until it ends or something may have been missed. Any thread; never
// blocks.
class BootCount {
 public:
  evidence::Boot Of(const Uuid& vm) EXCLUDES_LOCK(mutex_);

  // What the hypervisor tells of a VM: it was reset; it ended. Or nobody tells
  // what all of them do, or did for a while.
  void Reset(const Uuid& vm) EXCLUDES_LOCK(mutex_);
  void Ended(const Uuid& vm) EXCLUDES_LOCK(mutex_);
  void MissedEvents() EXCLUDES_LOCK(mutex_);

 private:
  Mutex mutex_;
  std::map<Uuid, evidence::Boot> boots_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_BOOT_COUNT_H_
