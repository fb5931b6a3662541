#include <unistd.h>

#include "base/clock.h"
#include "fmt/format.h"
#include "process/state_dir.h"
#include "verifierd/ledger_stack.h"
#include "verifierd/open_store.h"
#include "verifierd/verifierd.h"

namespace vmattest::verifierd {
namespace {

absl::StatusOr<config::VerifierdConfig> LoadConfig(
    const std::filesystem::path& file) {
  return config::LoadVerifierdConfig(file, config::ProcessEnvironment());
}

absl::StatusOr<process::DaemonProgram::Loaded> Load(
    const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(config::VerifierdConfig config, LoadConfig(file));
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

// One line that is rewritten; nothing where nobody looks.
class ProgressLine {
 public:
  explicit ProgressLine(const char* what) : what_(what) {}
  ~ProgressLine() {
    if (shown_) {
      fmt::print(stderr, "\n");
    }
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void Show(uint64_t done, uint64_t all) {
    if (terminal_) {
      shown_ = true;
      fmt::print(stderr, "\r{} of {} {}", done, all, what_);
    }
  }

 private:
  const char* const what_;
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  bool shown_ = false;
};

absl::Status Move(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const config::VerifierdConfig config, LoadConfig(file));
  if (!config.etcd) {
    return absl::InvalidArgumentError("store.etcd is not set");
  }
  // Nobody else writes to the file meanwhile.
  ASSIGN_OR_RETURN_WITH(const process::StateDir state,
                        process::StateDir::Open(config.state_dir), "state_dir");
  {
    ProgressLine line("decisions");
    RETURN_IF_ERROR(MoveToEtcd(
        config.state_dir, *config.etcd, SystemClock(),
        [&line](uint64_t done, uint64_t all) { line.Show(done, all); }));
  }
  fmt::print("moved to {} in etcd; the file stays as it was\n",
             config.etcd->prefix);
  return absl::OkStatus();
}

absl::Status MoveLedger(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const config::VerifierdConfig config, LoadConfig(file));
  if (!config.ledger || !config.ledger->etcd) {
    return absl::InvalidArgumentError("ledger.etcd is not set");
  }
  ASSIGN_OR_RETURN_WITH(const process::StateDir state,
                        process::StateDir::Open(config.state_dir), "state_dir");
  {
    ProgressLine line("records");
    RETURN_IF_ERROR(MoveLedgerToEtcd(
        config.state_dir, *config.ledger,
        [&line](uint64_t done, uint64_t all) { line.Show(done, all); }));
  }
  fmt::print("moved to {} in etcd; the file stays as it was\n",
             config.ledger->etcd->prefix);
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
                  Move},
                 {"--move-ledger-to-etcd",
                  "move the ledger from state_dir to where ledger.etcd says, "
                  "and end",
                  MoveLedger}}},
      argc, argv);
}

}  // namespace vmattest::verifierd
