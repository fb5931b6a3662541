#include "capture/boot_count.h"

#include "crypto/digest.h"

namespace vmattest::capture {

evidence::Boot BootCount::Of(const Uuid& vm) {
  const MutexLock lock(mutex_);
  evidence::Boot& boot = boots_[vm];
  if (boot.listener.empty()) {
    boot.listener = RandomBytes(evidence::kBootListenerSize);
  }
  return boot;
}

void BootCount::Reset(const Uuid& vm) {
  const MutexLock lock(mutex_);
  // Before somebody asked there is nothing to count from.
  if (const auto found = boots_.find(vm); found != boots_.end()) {
    ++found->second.resets;
  }
}

void BootCount::Ended(const Uuid& vm) {
  const MutexLock lock(mutex_);
  boots_.erase(vm);
}

void BootCount::MissedEvents() {
  const MutexLock lock(mutex_);
  boots_.clear();
}

}  // namespace vmattest::capture
