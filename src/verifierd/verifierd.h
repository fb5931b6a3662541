#ifndef VMATTEST_VERIFIERD_VERIFIERD_H_
#define VMATTEST_VERIFIERD_VERIFIERD_H_

#include <memory>

#include "config/verifierd_config.h"
#include "process/daemon_program.h"

namespace vmattest::verifierd {

// The composition root of vmattest-verifierd. Main thread only.
class Verifierd final : public process::RunningDaemon {
 public:
  // An error says what could not be started; then nothing is left running.
  static absl::StatusOr<std::unique_ptr<Verifierd>> Start(
      const config::VerifierdConfig& config);
  Verifierd(const Verifierd&) = delete;
  Verifierd& operator=(const Verifierd&) = delete;
  // Stops intake, gives calls a few seconds, ends what runs, closes.
  ~Verifierd() override;

  void Tick() override;
  absl::Status Reload() override;
  std::vector<ops::Watchdog::Subject> subjects() override;
  [[nodiscard]] std::string summary() const override;

 private:
  struct Owners;
  explicit Verifierd(std::unique_ptr<Owners> owners);
  std::unique_ptr<Owners> owners_;
};

// vmattest-verifierd, but for main(); as process::RunDaemonProgram.
int RunProgram(int argc, char** argv);

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_VERIFIERD_H_
