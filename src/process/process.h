#ifndef VMATTEST_PROCESS_PROCESS_H_
#define VMATTEST_PROCESS_PROCESS_H_

#include <chrono>
#include <optional>

#include "base/handles.h"
#include "base/status.h"

namespace vmattest::process {

// What holds for the whole process: files private by default, no core dumps
// and no ptrace by others (it holds key secrets), few malloc arenas, SIGPIPE
// ignored, as many descriptors as allowed, TLS 1.3. First thing in main.
void PrepareProcess();

// SIGTERM, SIGINT and SIGHUP as something to wait for. Construct before any
// thread: all of them must have these signals blocked. Main thread only.
class Signals {
 public:
  static absl::StatusOr<Signals> Block();

  // The next signal; none after `timeout`, which may be absent.
  std::optional<int> Wait(std::optional<std::chrono::milliseconds> timeout);

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace vmattest::process

#endif  // VMATTEST_PROCESS_PROCESS_H_
