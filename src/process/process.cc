#include "process/process.h"

#include <malloc.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/log.h"
#include "grpc/support/log.h"
#include "rpc/tls_files.h"

namespace vmattest::process {
namespace {

constexpr int kMallocArenas = 2;
constexpr int kTrimThreshold = 256 << 10;

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// Peers can provoke what gRPC has to say (a refused handshake is an error to
// it), so it must not fill a disk.
void LogGrpc(gpr_log_func_args* args) {
  log::Debug("grpc", {{"message", args->message}});
}

}  // namespace

void PrepareProcess() {
  umask(0077);
  const rlimit none{0, 0};
  (void)setrlimit(RLIMIT_CORE, &none);
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  mallopt(M_ARENA_MAX, kMallocArenas);
  mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
  std::signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
  gpr_set_log_function(LogGrpc);
  rpc::DemandTls13();
}

absl::StatusOr<Signals> Signals::Block() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&signals, signal);
  }
  if (const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr);
      error != 0) {
    return ErrnoStatus(error, "blocking signals");
  }
  UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) {
    return ErrnoStatus(errno, "signalfd");
  }
  return Signals(std::move(fd));
}

std::optional<int> Signals::Wait(
    std::optional<std::chrono::milliseconds> timeout) {
  pollfd waiting{fd_.get(), POLLIN, 0};
  (void)poll(&waiting, 1, timeout ? static_cast<int>(timeout->count()) : -1);
  signalfd_siginfo info{};
  if (read(fd_.get(), &info, sizeof(info)) != sizeof(info)) {
    return std::nullopt;
  }
  return static_cast<int>(info.ssi_signo);
}

}  // namespace vmattest::process
