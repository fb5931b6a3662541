// vmattest-resume-guard: lets one guest run again if vmattestd dies while it
// has it paused. It holds no guest's bytes and no keys; vmattestd starts it
// before the pause and tells it when that is over. It is told nothing by
// signals: a service manager that ends the whole unit must not end it first.

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>

#include "base/uuid.h"
#include "fmt/format.h"
#include "hypervisor/libvirt/resume_domain.h"
#include "ipc/channel.h"
#include "ipc/child_process.h"

namespace {

using namespace vmattest;  // NOLINT(google-build-using-namespace): main only

constexpr size_t kMaxMessage = 4096;
constexpr auto kGiveUp = std::chrono::seconds(60);
constexpr auto kPause = std::chrono::milliseconds(200);

void IgnoreSignals() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) {
    (void)std::signal(signal, SIG_IGN);
  }
}

// libvirtd may be starting again.
int Resume(const std::string& uri, const Uuid& uuid) {
  const auto end = std::chrono::steady_clock::now() + kGiveUp;
  absl::Status status = hypervisor::ResumeDomain(uri, uuid);
  while (!status.ok() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(kPause);
    status = hypervisor::ResumeDomain(uri, uuid);
  }
  fmt::print(stderr, "vmattest-resume-guard: {}: {}\n", ToString(uuid),
             status.ok() ? "vmattestd died, it was let run again"
                         : std::string(status.message()));
  return status.ok() ? 0 : 1;
}

int Guard() {
  ipc::Channel channel(UniqueFd(ipc::kChannelFd), kMaxMessage);
  const absl::StatusOr<ipc::Message> first = channel.Receive(ipc::kNoDeadline);
  if (!first.ok()) {
    return 0;  // there was no pause yet
  }
  const std::string_view text = AsText(first->bytes);
  const size_t space = text.find(' ');
  const auto uuid = ParseUuid(text.substr(0, space));
  if (space == std::string_view::npos || !uuid.ok()) {
    return 2;
  }
  const std::string uri(text.substr(space + 1));
  if (!channel.Send({ToBytes("ready"), {}}, ipc::kNoDeadline).ok()) {
    return 0;
  }
  return channel.Receive(ipc::kNoDeadline).ok() ? 0 : Resume(uri, *uuid);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view word = argc == 2 ? argv[1] : "";
  if (word == "--version") {
    fmt::print("vmattest-resume-guard {}\n", VMATTEST_VERSION);
    return 0;
  }
  struct stat info {};
  if (argc > 1 || fstat(ipc::kChannelFd, &info) != 0 ||
      !S_ISSOCK(info.st_mode)) {
    fmt::print(stderr,
               "vmattest-resume-guard: only vmattestd starts this program\n");
    return 2;
  }
  IgnoreSignals();
  return Guard();
}
