#ifndef VMATTEST_DAEMON_DAEMON_H_
#define VMATTEST_DAEMON_DAEMON_H_

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/daemon_config.h"
#include "process/daemon_program.h"

namespace vmattest::daemon {

// The composition root: the only place that names adapters. Main thread only.
class Daemon final : public process::RunningDaemon {
 public:
  // Starts everything; libvirt and the TPM need not be there, the health
  // service says so until they are. An error says what could not be started;
  // then nothing is left running.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(
      const config::DaemonConfig& config);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  // Stops intake, gives calls a few seconds, ends what runs, closes.
  ~Daemon() override;

  void Tick() override;
  absl::Status Reload() override;
  std::vector<ops::Watchdog::Subject> subjects() override;
  [[nodiscard]] std::string summary() const override;

 private:
  struct Owners;
  explicit Daemon(std::unique_ptr<Owners> owners);
  std::unique_ptr<Owners> owners_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_DAEMON_H_
