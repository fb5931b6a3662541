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
       .load = Load},
      argc, argv);
}

}  // namespace vmattest::verifierd
