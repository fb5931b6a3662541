#ifndef VMATTEST_PROCESS_DAEMON_PROGRAM_H_
#define VMATTEST_PROCESS_DAEMON_PROGRAM_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "ops/watchdog.h"

namespace vmattest::process {

// A daemon that runs, until it is destroyed. Main thread only.
class RunningDaemon {
 public:
  virtual ~RunningDaemon() = default;
  // Called every few seconds: what waits for time to pass is tried again.
  virtual void Tick() = 0;
  // What the watchdog must see moving.
  virtual std::vector<ops::Watchdog::Subject> subjects() = 0;
  // One line about the components, for the service manager.
  [[nodiscard]] virtual std::string summary() const = 0;
};

// What tells one daemon from another.
struct DaemonProgram {
  std::string name;         // "vmattestd"
  std::string description;  // for --help
  std::string config_file;  // unless --config says another
  // The effective configuration as text, or what is wrong with it.
  std::function<absl::StatusOr<std::string>(const std::filesystem::path&)>
      check;
  struct Loaded {
    std::string log_level;
    std::string socket;  // for the log
    std::function<absl::StatusOr<std::unique_ptr<RunningDaemon>>()> start;
  };
  std::function<absl::StatusOr<Loaded>(const std::filesystem::path&)> load;
  // What it does instead of serving, on request.
  struct Task {
    std::string flag;  // "--import"
    std::string help;
    std::function<absl::Status(const std::filesystem::path&)> run;
  };
  std::vector<Task> tasks;
};

// main() of a daemon: command line, signals, service manager. On SIGHUP the log
// level is read again; everything else needs a restart, but for certificates,
// which the listener watches itself. 0: ended by a signal, or --check-config
// found nothing, or a task is done. 2: usage, or a configuration error. 3: could
// not start, or a task failed.
int RunDaemonProgram(const DaemonProgram& program, int argc, char** argv);

}  // namespace vmattest::process

#endif  // VMATTEST_PROCESS_DAEMON_PROGRAM_H_
