#include "worker/guestfs/helper_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "fmt/format.h"
#include "ipc/child_process.h"
#include "ipc/sandbox.h"
#include "worker/guestfs/remote_appliance.h"

namespace vmattest::worker {
namespace {

// Standard input is /dev/null and not needed.
[[noreturn]] void KillGroupAfter(int life) {
  (void)prctl(PR_SET_NAME, "group-end");
  if (dup2(life, STDIN_FILENO) < 0 ||
      syscall(SYS_close_range, STDIN_FILENO + 1, ~0U, 0) != 0) {
    _exit(1);
  }
  char none = 0;
  while (read(STDIN_FILENO, &none, 1) < 0 && errno == EINTR) {
  }
  (void)kill(0, SIGKILL);
  _exit(0);
}

[[noreturn]] void Help(UniqueFd end, const StartAppliance& start) {
  ipc::Channel channel(std::move(end), kMaxApplianceMessage);
  (void)close(ipc::kChannelFd);
  absl::Status status;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
    status = ErrnoStatus(errno, "binding it to its parent's life");
  }
  status.Update(ipc::RenounceCapabilities());
  status.Update(ipc::EnterLauncherSandbox());
  if (status.ok()) {
    status = ServeAppliance(channel, start);
  }
  if (!status.ok()) {
    fmt::print(stderr, "vmattest-guestfs-worker: {}\n", status.ToString());
  }
  _exit(status.ok() ? 0 : 1);
}

}  // namespace

absl::StatusOr<UniqueFd> StartHelper(const StartAppliance& start) {
  if (getpgrp() != getpid()) {
    return absl::FailedPreconditionError("it has no process group of its own");
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return ErrnoStatus(errno, "a pipe");
  }
  UniqueFd life(ends[0]);
  // Open in both processes until they end.
  const int alive = ends[1];
  const pid_t killer = fork();
  if (killer == 0) {
    (void)close(alive);
    KillGroupAfter(life.get());
  }
  life.Reset();
  ASSIGN_OR_RETURN(auto pair, ipc::Channel::MakePair());
  const pid_t helper = killer < 0 ? -1 : fork();
  if (helper < 0) {
    return ErrnoStatus(errno, "starting a helper");
  }
  if (helper == 0) {
    pair.first.Reset();
    Help(std::move(pair.second), start);
  }
  pair.second.Reset();
  return std::move(pair.first);
}

}  // namespace vmattest::worker
