// vmattest-resume-guard: lets one guest run again if vmattestd dies while it
// has it paused. It holds no guest's bytes and no keys; vmattestd starts it
// before the pause and tells it when that is over. It is told nothing by
// signals: a service manager that ends the whole unit must not end it first.

#include <fcntl.h>
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
constexpr int kSilences = 5;

void IgnoreSignals() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) {
    (void)std::signal(signal, SIG_IGN);
  }
}

// libvirtd may be waiting for somebody who reads what it streams, and hold the
// guest until then. Whoever would have is dead: it goes nowhere.
void Drain(const std::string& pipe) {
  const UniqueFd reader(
      open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!reader.valid() || fstat(reader.get(), &info) != 0 ||
      !S_ISFIFO(info.st_mode)) {
    return;
  }
  const auto end = std::chrono::steady_clock::now() + kGiveUp;
  char buffer[1 << 16];
  int silent = 0;
  // It closes the pipe and opens it again: the end is when it stays closed.
  while (silent < kSilences && std::chrono::steady_clock::now() < end) {
    const ssize_t got = read(reader.get(), buffer, sizeof buffer);
    silent = got == 0 ? silent + 1 : 0;
    if (got <= 0) {
      std::this_thread::sleep_for(kPause);
    }
  }
  // Whoever opens it later finds nothing, and does not wait.
  (void)unlink(pipe.c_str());
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
  const size_t line = text.find('\n', space);
  const std::string uri(text.substr(space + 1, line - space - 1));
  const std::string pipe(
      line == std::string_view::npos ? "" : text.substr(line + 1));
  if (!channel.Send({ToBytes("ready"), {}}, ipc::kNoDeadline).ok()) {
    return 0;
  }
  if (channel.Receive(ipc::kNoDeadline).ok()) {
    return 0;
  }
  if (!pipe.empty()) {
    Drain(pipe);
  }
  return Resume(uri, *uuid);
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
