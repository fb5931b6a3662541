#include "gate/launch_sessions.h"

#include <utility>

#include "base/log.h"

namespace vmattest::gate {
namespace {

// From the hook's call at `start` to libvirt's event STARTED.
constexpr std::chrono::minutes kCalledLately{10};

}  // namespace

LaunchSessions::LaunchSessions(const Clock& clock, SessionStore* store)
    : clock_(clock), store_(store) {
  if (store == nullptr) {
    return;
  }
  const MutexLock lock(mutex_);
  sessions_ = store->Load();
  for (auto& [uuid, session] : sessions_) {
    session.since = clock_.Monotonic();
  }
}

void LaunchSessions::Sync(const std::string& vm_uuid) {
  const MutexLock lock(store_mutex_);
  if (store_ == nullptr) {
    return;
  }
  const std::optional<LaunchSession> session = Find(vm_uuid);
  if (!session || !session->running) {
    store_->Erase(vm_uuid);
    return;
  }
  if (const absl::Status saved = store_->Save(vm_uuid, *session); !saved.ok()) {
    log::Warning("a running VM will not be watched by a restarted daemon",
                 {{"vm", session->vm_name}, {"why", saved.ToString()}});
  }
}

std::optional<LaunchSession> LaunchSessions::Find(
    const std::string& vm_uuid) const {
  const MutexLock lock(mutex_);
  const auto it = sessions_.find(vm_uuid);
  return it == sessions_.end() ? std::nullopt : std::optional(it->second);
}

bool LaunchSessions::Put(const std::string& vm_uuid, LaunchSession session) {
  bool stored = session.running;
  {
    const MutexLock lock(mutex_);
    if (!sessions_.contains(vm_uuid) && sessions_.size() >= kMost) {
      Tidy();
      if (sessions_.size() >= kMost) {
        return false;
      }
    }
    session.since = clock_.Monotonic();
    LaunchSession& slot = sessions_[vm_uuid];
    stored = stored || slot.running;
    slot = std::move(session);
  }
  if (stored) {
    Sync(vm_uuid);
  }
  return true;
}

void LaunchSessions::Mark(const std::string& vm_uuid,
                          bool LaunchSession::*mark) {
  {
    const MutexLock lock(mutex_);
    if (const auto it = sessions_.find(vm_uuid); it != sessions_.end()) {
      it->second.*mark = true;
    }
  }
  Sync(vm_uuid);
}

void LaunchSessions::MarkChecked(const std::string& vm_uuid) {
  Mark(vm_uuid, &LaunchSession::checked);
}

void LaunchSessions::MarkDrifted(const std::string& vm_uuid) {
  Mark(vm_uuid, &LaunchSession::drifted);
}

void LaunchSessions::MarkIsolated(const std::string& vm_uuid) {
  Mark(vm_uuid, &LaunchSession::isolated);
}

void LaunchSessions::Erase(const std::string& vm_uuid) {
  {
    const MutexLock lock(mutex_);
    sessions_.erase(vm_uuid);
  }
  Sync(vm_uuid);
}

std::vector<std::string> LaunchSessions::Running(bool drifted) const {
  const MutexLock lock(mutex_);
  std::vector<std::string> running;
  for (const auto& [uuid, session] : sessions_) {
    if (session.running && session.drifted == drifted) {
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
