#include "daemon/program.h"

#include "config/daemon_config.h"
#include "daemon/daemon.h"
#include "process/daemon_program.h"

namespace vmattest::daemon {
namespace {

absl::StatusOr<process::DaemonProgram::Loaded> Load(
    const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(
      config::DaemonConfig config,
      config::LoadDaemonConfig(file, config::ProcessEnvironment()));
  const std::string level = config.log_level;
  const std::string socket = config.admin_socket.string();
  return process::DaemonProgram::Loaded{
      .log_level = level,
      .socket = socket,
      .start = [config = std::move(config)]()
          -> absl::StatusOr<std::unique_ptr<process::RunningDaemon>> {
        return Daemon::Start(config);
      }};
}

}  // namespace

int RunProgram(int argc, char** argv) {
  return process::RunDaemonProgram(
      {.name = "vmattestd",
       .description = "attestation daemon for KVM hosts",
       .config_file = "/etc/vmattest/vmattestd.yaml",
       .check =
           [](const std::filesystem::path& file) {
             return config::EffectiveConfig(file, config::ProcessEnvironment());
           },
       .load = Load},
      argc, argv);
}

}  // namespace vmattest::daemon
