#include <unistd.h>

#include "base/clock.h"
#include "fmt/format.h"
#include "process/state_dir.h"
#include "verifierd/open_store.h"
#include "verifierd/verifierd.h"

namespace vmattest::verifierd {
namespace {

absl::StatusOr<process::DaemonProgram::Loaded> Load(
    const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(
      config::VerifierdConfig config,
      config::LoadVerifierdConfig(file, config::ProcessEnvironment()));
  const std::string level = config.log_level;
  const std::string socket = config.admin_socket.string();
  return process::DaemonProgram::Loaded{
      .log_level = level,
      .socket = socket,
      .start = [config = std::move(config)]()
          -> absl::StatusOr<std::unique_ptr<process::RunningDaemon>> {
        return Verifierd::Start(config);
      }};
}

absl::Status Move(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(
      const config::VerifierdConfig config,
      config::LoadVerifierdConfig(file, config::ProcessEnvironment()));
  if (!config.etcd) {
    return absl::InvalidArgumentError("store.etcd is not set");
  }
  // Nobody else writes to the file meanwhile.
  ASSIGN_OR_RETURN_WITH(const process::StateDir state,
                        process::StateDir::Open(config.state_dir), "state_dir");
  const bool terminal = isatty(STDERR_FILENO) != 0;
  RETURN_IF_ERROR(MoveToEtcd(config.state_dir, *config.etcd, SystemClock(),
                             [terminal](uint64_t done, uint64_t all) {
                               if (terminal) {
                                 fmt::print(stderr, "\r{} of {} decisions",
                                            done, all);
                               }
                             }));
  fmt::print("{}moved to {} in etcd; the file stays as it was\n",
             terminal ? "\n" : "", config.etcd->prefix);
  return absl::OkStatus();
}

}  // namespace

int RunProgram(int argc, char** argv) {
  return process::RunDaemonProgram(
      {.name = "vmattest-verifierd",
       .description = "verifier of VM attestation evidence",
       .config_file = "/etc/vmattest/vmattest-verifierd.yaml",
       .check =
           [](const std::filesystem::path& file) {
             return config::EffectiveVerifierdConfig(
                 file, config::ProcessEnvironment());
           },
       .load = Load,
       .tasks = {{"--move-to-etcd",
                  "move the store from state_dir into the empty one that "
                  "store.etcd names, and end",
                  Move}}},
      argc, argv);
}

}  // namespace vmattest::verifierd
