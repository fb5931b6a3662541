#include "capture/scheduler.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "crypto/digest.h"

namespace vmattest::capture {
namespace {

constexpr size_t kNonceSize = 32;

}  // namespace

void Scheduler::Tick() {
  const auto scheduled = [](const snapshot::Policy& policy) {
    return policy.schedule.has_value();
  };
  if (std::none_of(capturer_.policies().begin(), capturer_.policies().end(),
                   scheduled)) {
    return;
  }
  {
    const MutexLock lock(mutex_);
    if (looking_) {
      return;
    }
    looking_ = true;
  }
  if (!work_.Submit([this] { Look(); }).ok()) {
    const MutexLock lock(mutex_);
    looking_ = false;
  }
}

bool Scheduler::IsDue(const Key& key,
                      const snapshot::Policy::Schedule& schedule) {
  const MutexLock lock(mutex_);
  const MonotonicTime now = clock_.Monotonic();
  const auto planned = due_.find(key);
  const bool due = planned != due_.end() && planned->second <= now;
  if (due || planned == due_.end()) {
    const uint64_t every = uint64_t{1000} * schedule.every_seconds;
    const uint64_t jitter = every * schedule.jitter_percent / 100;
    due_[key] = now + std::chrono::milliseconds(every - jitter +
                                                random_(2 * jitter + 1));
  }
  return due;
}

void Scheduler::Look() {
  const auto domains = hypervisor_.ListDomains();
  std::set<Uuid> running;
  if (domains.ok()) {
    for (const hypervisor::Domain& domain : *domains) {
      if (!hypervisor::IsActive(domain.state)) {
        continue;
      }
      running.insert(domain.uuid);
      for (const snapshot::Policy& policy : capturer_.policies()) {
        if (!policy.schedule ||
            !IsDue({domain.uuid, policy.id}, *policy.schedule)) {
          continue;
        }
        CaptureRequest request;
        request.vm = ToString(domain.uuid);
        request.policy = policy.id;
        request.nonce = RandomBytes(kNonceSize);
        request.cause = kScheduled;
        request.deadline = MonotonicTime::max();  // the policy has one
        capturer_.Capture(
            std::move(request),
            [vm = domain.name,
             id = policy.id](const absl::StatusOr<CapturedSnapshot>& captured) {
              if (!captured.ok()) {
                log::Warning("a scheduled snapshot failed",
                             {{"vm", vm},
                              {"policy", id},
                              {"why", captured.status().ToString()}});
              }
            });
      }
    }
  }
  const MutexLock lock(mutex_);
  looking_ = false;
  if (domains.ok()) {
    std::erase_if(due_, [&](const auto& entry) {
      return !running.contains(entry.first.first);
    });
  }
}

}  // namespace vmattest::capture
