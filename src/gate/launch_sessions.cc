#include "gate/launch_sessions.h"

#include <utility>

namespace vmattest::gate {
namespace {

// From the hook's call at `start` to libvirt's event STARTED.
constexpr std::chrono::minutes kCalledLately{10};

}  // namespace

std::optional<LaunchSession> LaunchSessions::Find(
    const std::string& vm_uuid) const {
  const MutexLock lock(mutex_);
  const auto it = sessions_.find(vm_uuid);
  return it == sessions_.end() ? std::nullopt : std::optional(it->second);
}

bool LaunchSessions::Put(const std::string& vm_uuid, LaunchSession session) {
  const MutexLock lock(mutex_);
  if (!sessions_.contains(vm_uuid) && sessions_.size() >= kMost) {
    Tidy();
    if (sessions_.size() >= kMost) {
      return false;
    }
  }
  session.since = clock_.Monotonic();
  sessions_.insert_or_assign(vm_uuid, std::move(session));
  return true;
}

void LaunchSessions::MarkDrifted(const std::string& vm_uuid) {
  const MutexLock lock(mutex_);
  if (const auto it = sessions_.find(vm_uuid); it != sessions_.end()) {
    it->second.drifted = true;
  }
}

void LaunchSessions::Erase(const std::string& vm_uuid) {
  const MutexLock lock(mutex_);
  sessions_.erase(vm_uuid);
}

std::vector<std::string> LaunchSessions::Running() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> running;
  for (const auto& [uuid, session] : sessions_) {
    if (session.running && !session.drifted) {
      running.push_back(uuid);
    }
  }
  return running;
}

void LaunchSessions::NoteCalled(const std::string& vm_uuid) {
  const MutexLock lock(mutex_);
  const MonotonicTime now = clock_.Monotonic();
  if (called_.size() >= kMost) {
    std::erase_if(called_, [now](const auto& item) {
      return now - item.second > kCalledLately;
    });
  }
  if (called_.size() < kMost) {
    called_.insert_or_assign(vm_uuid, now);
  }
}

bool LaunchSessions::WasCalled(const std::string& vm_uuid) const {
  const MutexLock lock(mutex_);
  const auto it = called_.find(vm_uuid);
  return it != called_.end() &&
         clock_.Monotonic() - it->second <= kCalledLately;
}

void LaunchSessions::Tidy() {
  const MonotonicTime now = clock_.Monotonic();
  std::erase_if(sessions_, [now](const auto& item) {
    return !item.second.running && now - item.second.since > kUnfinished;
  });
}

}  // namespace vmattest::gate
