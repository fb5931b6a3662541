#include "ipc/child_process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <thread>

#include "fmt/format.h"
#include "ipc/channel.h"

namespace vmattest::ipc {
namespace {

constexpr int kFirstSafeFd = 10;
constexpr int kLandlockFd = kChannelFd + 1;  // until the program starts
constexpr size_t kStackSize = 64U << 10;
constexpr size_t kPasswdBuffer = 16U << 10;
// Killed processes are gone at once, but for those in the middle of a read.
constexpr std::chrono::seconds kGroupEnds{2};
constexpr std::chrono::milliseconds kLookAgain{2};

// Prepared by the parent, so that the child needs no memory.
struct Plan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  int null;
  int channel;
  int landlock;
  const ChildOptions* options;
  // What went wrong in the child; it shares our memory.
  const char* failed_step = nullptr;
  int error = 0;
};

int Fail(Plan& plan, const char* step) {
  plan.error = errno;
  plan.failed_step = step;
  return 1;
}

bool Limit(int resource, rlim_t value) {
  const rlimit limit{value, value};
  return prlimit(0, static_cast<__rlimit_resource>(resource), &limit,
                 nullptr) == 0;
}

bool SetLimits(const ChildOptions& options) {
  return Limit(RLIMIT_CORE, 0) &&
         (!options.no_files || Limit(RLIMIT_FSIZE, 0)) &&
         (!options.file_size || Limit(RLIMIT_FSIZE, *options.file_size)) &&
         (!options.address_space || Limit(RLIMIT_AS, *options.address_space)) &&
         (!options.data || Limit(RLIMIT_DATA, *options.data)) &&
         (!options.cpu_time ||
          Limit(RLIMIT_CPU, static_cast<rlim_t>(options.cpu_time->count()))) &&
         (!options.open_files || Limit(RLIMIT_NOFILE, *options.open_files));
}

// The C library's functions would change every thread of the parent.
bool BecomeUser(const Identity& user, const std::optional<gid_t>& group) {
  return syscall(SYS_setgroups, group ? 1 : 0, group ? &*group : nullptr) ==
             0 &&
         syscall(SYS_setresgid, user.gid, user.gid, user.gid) == 0 &&
         syscall(SYS_setresuid, user.uid, user.uid, user.uid) == 0;
}

// Of a user without privileges only ambient capabilities survive exec; root's
// would come back, but not with no_new_privs.
bool KeepReadingAllFiles() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, sets) != 0) {
    return false;
  }
  const uint32_t kept = sets[0].permitted & CAP_TO_MASK(CAP_DAC_READ_SEARCH);
  sets[0] = {kept, kept, kept};
  sets[1] = {};
  return syscall(SYS_capset, &header, sets) == 0 &&
         (kept == 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
                             CAP_DAC_READ_SEARCH, 0, 0) == 0);
}

// Ignored signals would stay ignored, blocked ones blocked.
void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    if (sigaction(signal, nullptr, &action) == 0 &&
        action.sa_handler != SIG_DFL) {
      action = {};
      (void)sigaction(signal, &action, nullptr);
    }
  }
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
}

// In the child, on a stack of its own and in the parent's memory, while the
// parent's thread stands still: system calls only.
__attribute__((no_sanitize("thread", "address"))) int RunChild(void* argument) {
  Plan& plan = *static_cast<Plan*>(argument);
  ResetSignals();
  if (dup2(plan.null, STDIN_FILENO) < 0 ||
      dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
      dup2(plan.channel, kChannelFd) < 0 ||
      (plan.landlock >= 0 && dup2(plan.landlock, kLandlockFd) < 0) ||
      syscall(SYS_close_range,
              plan.landlock >= 0 ? kLandlockFd + 1 : kLandlockFd, ~0U,
              0) != 0) {
    return Fail(plan, "handing over descriptors");
  }
  if (plan.options->own_namespaces) {
    (void)syscall(SYS_unshare, CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC);
  }
  if (plan.options->own_group && setpgid(0, 0) != 0) {
    return Fail(plan, "giving it a process group");
  }
  if (!SetLimits(*plan.options)) {
    return Fail(plan, "setting resource limits");
  }
  (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  const int program = open(plan.program, O_PATH | O_CLOEXEC);
  if (plan.options->read_all_files) {
    (void)prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
  }
  if (plan.options->run_as &&
      !BecomeUser(*plan.options->run_as, plan.options->extra_group)) {
    return Fail(plan, "becoming another user");
  }
  if (plan.options->read_all_files && !KeepReadingAllFiles()) {
    return Fail(plan, "keeping the right to read files");
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Fail(plan, "renouncing privileges");
  }
  if (plan.landlock >= 0 &&
      (syscall(SYS_landlock_restrict_self, kLandlockFd, 0) != 0 ||
       close(kLandlockFd) != 0)) {
    return Fail(plan, "restricting it to its files");
  }
  if (!plan.options->outlives_us &&
      prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
    return Fail(plan, "binding it to our life");
  }
  execve(plan.program, plan.arguments, plan.environment);
  // A user who may not pass through the folders above may still run what we
  // could open; second, because the process is named after the descriptor then.
  if (errno == EACCES && program >= 0) {
    syscall(SYS_execveat, program, "", plan.arguments, plan.environment,
            AT_EMPTY_PATH);
  }
  return Fail(plan, "starting it");
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) {
    pointers.push_back(const_cast<char*>(word.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

// A copy that no descriptor of the child's can collide with.
absl::StatusOr<UniqueFd> OutOfTheWay(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, kFirstSafeFd));
  if (!copy.valid()) {
    return ErrnoStatus(errno, "duplicating a descriptor");
  }
  return copy;
}

struct Cloned {
  pid_t pid;
  UniqueFd pidfd;
};

absl::StatusOr<Cloned> Clone(Plan& plan) {
  std::vector<char> stack(kStackSize);
  char* top = stack.data() + stack.size();
  top -= reinterpret_cast<uintptr_t>(top) % 16;
  // A handler of ours must not run in the child.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  (void)pthread_sigmask(SIG_BLOCK, &all, &before);
  int pidfd = -1;
  const int pid =
      clone(RunChild, top, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
            &plan, &pidfd);
  const int error = errno;
  (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    return ErrnoStatus(error, "making a process");
  }
  return Cloned{pid, UniqueFd(pidfd)};
}

std::string Describe(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) {
    return fmt::format("exited with status {}", info.si_status);
  }
  const char* abbreviation = sigabbrev_np(info.si_status);
  const std::string signal = abbreviation == nullptr
                                 ? fmt::format("signal {}", info.si_status)
                                 : fmt::format("SIG{}", abbreviation);
  switch (info.si_status) {
    case SIGSYS:
      return fmt::format("killed by {}: a forbidden system call", signal);
    case SIGXCPU:
      return fmt::format("killed by {}: too much processor time", signal);
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
      return fmt::format("killed by {}: a crash", signal);
    case SIGABRT:
      return fmt::format("killed by {}: it gave up", signal);
    default:
      return fmt::format("killed by {}", signal);
  }
}

}  // namespace

absl::StatusOr<Identity> FindUser(const std::string& name) {
  std::array<char, kPasswdBuffer> buffer;
  passwd entry{};
  passwd* found = nullptr;
  const int error =
      getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    return error == 0
               ? absl::NotFoundError(fmt::format("there is no user '{}'", name))
               : ErrnoStatus(error, fmt::format("user '{}'", name));
  }
  return Identity{entry.pw_uid, entry.pw_gid};
}

absl::StatusOr<ChildProcess::Spawned> ChildProcess::Spawn(
    const ChildOptions& options) {
  ASSIGN_OR_RETURN(auto ends, Channel::MakePair());
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.valid()) {
    return ErrnoStatus(errno, "/dev/null");
  }
  ASSIGN_OR_RETURN(const UniqueFd child_null, OutOfTheWay(null.get()));
  ASSIGN_OR_RETURN(const UniqueFd child_end, OutOfTheWay(ends.second.get()));
  ends.second.Reset();
  UniqueFd landlock;
  if (options.landlock >= 0) {
    ASSIGN_OR_RETURN(landlock, OutOfTheWay(options.landlock));
  }

  const std::vector<char*> arguments = Pointers(options.arguments);
  const std::vector<char*> environment = Pointers(options.environment);
  Plan plan{options.program.c_str(),
            arguments.data(),
            environment.data(),
            child_null.get(),
            child_end.get(),
            landlock.get(),
            &options};
  ASSIGN_OR_RETURN_WITH(Cloned cloned, Clone(plan), options.program);
  ChildProcess process(cloned.pid, std::move(cloned.pidfd), options.own_group);
  if (plan.failed_step != nullptr) {
    return ErrnoStatus(
        plan.error, fmt::format("{}: {}", options.program, plan.failed_step));
  }
  return Spawned{std::move(process), std::move(ends.first)};
}

ChildProcess::~ChildProcess() {
  if (pidfd_.valid() && ended_.empty()) {
    Kill();
    (void)Wait(kNoDeadline);
  }
}

// They are not our children, so there is nothing to wait on.
void ChildProcess::AwaitGroup() const {
  const auto deadline = std::chrono::steady_clock::now() + kGroupEnds;
  while (leads_group_ && kill(-pid_, 0) == 0 &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kLookAgain);
  }
}

void ChildProcess::Kill() const {
  (void)syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

absl::StatusOr<std::string> ChildProcess::Wait(MonotonicTime deadline) {
  while (ended_.empty()) {
    int timeout = -1;
    if (deadline != kNoDeadline) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      timeout = static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT_MAX));
    }
    pollfd waiting{pidfd_.get(), POLLIN, 0};
    const int ready = poll(&waiting, 1, timeout);
    if (ready == 0) {
      return absl::DeadlineExceededError(
          fmt::format("process {} still runs", pid_));
    }
    // While the leader is not waited for, its number is this group's alone.
    if (ready > 0 && leads_group_) {
      (void)kill(-pid_, SIGKILL);
    }
    siginfo_t info{};
    if (waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd_.get()),
               &info, WEXITED | WNOHANG) != 0) {
      return ErrnoStatus(errno, "waiting for a process");
    }
    if (info.si_pid != 0) {
      ended_ = Describe(info);
      AwaitGroup();
    }
  }
  return ended_;
}

}  // namespace vmattest::ipc
