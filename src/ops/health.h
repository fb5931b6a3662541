#ifndef VMATTEST_OPS_HEALTH_H_
#define VMATTEST_OPS_HEALTH_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"

namespace vmattest::ops {

struct ComponentHealth {
  absl::Status status;  // OK: serving
  WallTime since;
};

// The true state of what the daemon depends on ("libvirt", "tpm", "store").
// Callable from any thread.
class Health {
 public:
  using ChangeFn =
      std::function<void(std::string_view component, const absl::Status&)>;
  explicit Health(const Clock& clock) : clock_(clock) {}

  // One listener, set before the first Set(); called on each change, from the
  // thread that reports it.
  void OnChange(ChangeFn listener);
  void Set(std::string_view component, const absl::Status& status);
  // UNAVAILABLE for a component that never reported.
  [[nodiscard]] absl::Status Get(std::string_view component) const;
  [[nodiscard]] std::map<std::string, ComponentHealth, std::less<>> All() const;

 private:
  const Clock& clock_;
  ChangeFn listener_;
  mutable Mutex mutex_;
  std::map<std::string, ComponentHealth, std::less<>> components_
      GUARDED_BY(mutex_);
};

}  // namespace vmattest::ops

#endif  // VMATTEST_OPS_HEALTH_H_
