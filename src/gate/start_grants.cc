#include "gate/start_grants.h"

#include <utility>

namespace vmattest::gate {

bool StartGrants::Give(const std::string& vm_uuid) {
  const MutexLock lock(mutex_);
  return grants_.emplace(vm_uuid, Ended()).second;
}

bool StartGrants::Holds(const std::string& vm_uuid) const {
  const MutexLock lock(mutex_);
  const auto it = grants_.find(vm_uuid);
  return it != grants_.end() && !it->second.used;
}

bool StartGrants::Use(const std::string& vm_uuid) {
  const MutexLock lock(mutex_);
  const auto it = grants_.find(vm_uuid);
  return it != grants_.end() && !std::exchange(it->second.used, true);
}

void StartGrants::NoteRefusal(const std::string& vm_uuid,
                              const GateReply& reply) {
  const MutexLock lock(mutex_);
  if (const auto it = grants_.find(vm_uuid); it != grants_.end()) {
    it->second.code = reply.code;
    it->second.sentence = reply.sentence;
  }
}

StartGrants::Ended StartGrants::Withdraw(const std::string& vm_uuid) {
  const MutexLock lock(mutex_);
  const auto it = grants_.find(vm_uuid);
  if (it == grants_.end()) {
    return {};
  }
  Ended ended = std::move(it->second);
  grants_.erase(it);
  return ended;
}

}  // namespace vmattest::gate
