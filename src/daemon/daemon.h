#ifndef VMATTEST_DAEMON_DAEMON_H_
#define VMATTEST_DAEMON_DAEMON_H_

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/daemon_config.h"
#include "ops/watchdog.h"

namespace vmattest::daemon {

// The composition root: the only place that names adapters. Main thread only.
class Daemon {
 public:
  // Starts everything; libvirt and the TPM need not be there, the health
  // service says so until they are. An error says what could not be started;
  // then nothing is left running.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(
      const config::DaemonConfig& config);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  // Stops intake, gives calls a few seconds, ends what runs, closes.
  ~Daemon();

  // Call every few seconds: what waits for time to pass is tried again.
  void Tick();
  // What the watchdog must see moving.
  [[nodiscard]] std::vector<ops::Watchdog::Subject> subjects();
  // One line about the components, for the service manager.
  [[nodiscard]] std::string summary() const;

 private:
  struct Owners;
  explicit Daemon(std::unique_ptr<Owners> owners);
  std::unique_ptr<Owners> owners_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_DAEMON_H_
