#ifndef VMATTEST_OPS_SERVICE_MANAGER_H_
#define VMATTEST_OPS_SERVICE_MANAGER_H_

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace vmattest::ops {

// What the service manager that started us is told: sd_notify(3) over
// $NOTIFY_SOCKET. Without one every call does nothing. Callable from any
// thread.
class ServiceManager {
 public:
  ServiceManager() = default;
  virtual ~ServiceManager() = default;

  void Ready(std::string_view status) const;
  void Status(std::string_view status) const;
  // Between Reloading() and the next Ready() a reload is going on.
  void Reloading() const;
  void Stopping() const;
  virtual void KickWatchdog() const;

  // How long the manager waits for a kick; none: it does not.
  [[nodiscard]] virtual std::optional<std::chrono::microseconds>
  watchdog_period() const;
};

}  // namespace vmattest::ops

#endif  // VMATTEST_OPS_SERVICE_MANAGER_H_
