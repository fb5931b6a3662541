#include "ops/health.h"

#include <utility>

#include "fmt/format.h"

namespace vmattest::ops {

void Health::OnChange(ChangeFn listener) { listener_ = std::move(listener); }

void Health::Set(std::string_view component, const absl::Status& status) {
  {
    const MutexLock lock(mutex_);
    const auto it = components_.find(component);
    if (it != components_.end() && it->second.status == status) {
      return;
    }
    ComponentHealth& health = it != components_.end()
                                  ? it->second
                                  : components_[std::string(component)];
    health = {status, clock_.Now()};
  }
  if (listener_) {
    listener_(component, status);
  }
}

absl::Status Health::Get(std::string_view component) const {
  const MutexLock lock(mutex_);
  const auto it = components_.find(component);
  if (it == components_.end()) {
    return absl::UnavailableError(
        fmt::format("{} has not reported yet", component));
  }
  return it->second.status;
}

std::map<std::string, ComponentHealth, std::less<>> Health::All() const {
  const MutexLock lock(mutex_);
  return components_;
}

}  // namespace vmattest::ops
