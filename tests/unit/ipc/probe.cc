// A child that does one thing, for tests of ipc: the word says what.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "ipc/channel.h"
#include "ipc/child_process.h"
#include "ipc/sandbox.h"

namespace vmattest::ipc {
namespace {

constexpr size_t kMax = 1 << 20;

Channel& Parent() {
  static Channel channel{UniqueFd(kChannelFd), kMax};
  return channel;
}

void Say(const std::string& text) {
  (void)Parent().Send({ToBytes(text), {}}, kNoDeadline);
}

// What the process has and is, a line each.
void Report() {
  std::string text;
  for (int fd = 0; fd < 64; ++fd) {
    struct stat info {};
    if (fstat(fd, &info) == 0) {
      text += fmt::format("fd {}\n", fd);
    }
  }
  for (char** entry = environ; *entry != nullptr; ++entry) {
    text += fmt::format("env {}\n", *entry);
  }
  for (const auto& [name, resource] :
       std::map<std::string, int>{{"core", RLIMIT_CORE},
                                  {"as", RLIMIT_AS},
                                  {"cpu", RLIMIT_CPU},
                                  {"fsize", RLIMIT_FSIZE},
                                  {"nofile", RLIMIT_NOFILE}}) {
    rlimit limit{};
    (void)prlimit(0, static_cast<__rlimit_resource>(resource), nullptr, &limit);
    text += fmt::format("limit {} {}\n", name, limit.rlim_max);
  }
  text += fmt::format("uid {} gid {} groups {}\n", getuid(), getgid(),
                      getgroups(0, nullptr));
  text +=
      fmt::format("no_new_privs {}\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  int death = 0;
  (void)prctl(PR_GET_PDEATHSIG, &death);
  text += fmt::format("death {}\n", death);
  sigset_t blocked;
  (void)sigprocmask(SIG_SETMASK, nullptr, &blocked);
  text += fmt::format("sigterm blocked {}\n", sigismember(&blocked, SIGTERM));
  struct sigaction pipe {};
  (void)sigaction(SIGPIPE, nullptr, &pipe);
  text += fmt::format("sigpipe default {}\n", pipe.sa_handler == SIG_DFL);
  Say(text);
}

// Calls that a sandbox is asked about. All are harmless where they succeed.
const std::map<std::string, std::function<long()>>& Calls() {
  static const auto* calls = new std::map<std::string, std::function<long()>>{
      {"nothing", [] { return 0L; }},
      {"open", [] { return long{open("/etc/passwd", O_RDONLY)}; }},
      {"tpm", [] { return long{open("/dev/tpmrm0", O_RDWR)}; }},
      {"creat", [] { return long{creat("/tmp/vmattest-probe", 0600)}; }},
      {"unix-socket", [] { return long{socket(AF_UNIX, SOCK_STREAM, 0)}; }},
      {"inet-socket", [] { return long{socket(AF_INET, SOCK_STREAM, 0)}; }},
      {"fork", [] { return long{fork()}; }},
      {"vfork-clone",
       [] { return syscall(SYS_clone, SIGCHLD, nullptr, nullptr, 0, 0); }},
      {"exec",
       [] {
         char name[] = "/bin/true";
         char* arguments[] = {name, nullptr};
         return long{execve(name, arguments, environ)};
       }},
      {"ptrace", [] { return ptrace(PTRACE_ATTACH, getppid(), 0, 0); }},
      {"process_vm_readv",
       [] {
         return syscall(SYS_process_vm_readv, getppid(), nullptr, 0, nullptr, 0,
                        0);
       }},
      {"kill", [] { return long{kill(getppid(), 0)}; }},
      {"tgkill-parent",
       [] { return syscall(SYS_tgkill, getppid(), getppid(), 0); }},
      {"mount", [] { return syscall(SYS_mount, "", "/", "", 0, ""); }},
      {"unshare", [] { return syscall(SYS_unshare, 0); }},
      {"setuid", [] { return syscall(SYS_setuid, 65534); }},
      {"bpf", [] { return syscall(SYS_bpf, 0, nullptr, 0); }},
      {"io_uring", [] { return syscall(SYS_io_uring_setup, 1, nullptr); }},
      {"setsid", [] { return long{setsid()}; }},
      {"setpgid", [] { return long{setpgid(0, 0)}; }},
      {"keyctl", [] { return syscall(SYS_keyctl, 0, 0); }},
      {"memfd", [] { return syscall(SYS_memfd_create, "x", 0); }},
      {"executable-memory",
       [] {
         void* page = mmap(nullptr, 4096, PROT_READ | PROT_EXEC,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return page == MAP_FAILED ? -1L : 0L;
       }},
      {"make-executable",
       [] {
         void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return long{mprotect(page, 4096, PROT_READ | PROT_EXEC)};
       }},
      {"map-file",
       [] {
         void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, 0, 0);
         return page == MAP_FAILED ? -1L : 0L;
       }},
      {"sendmsg-elsewhere",
       [] {
         msghdr header{};
         return long{sendmsg(STDERR_FILENO, &header, MSG_DONTWAIT)};
       }},
      {"write-elsewhere", [] { return write(STDOUT_FILENO, "", 0); }},
      {"stat",
       [] {
         struct stat info {};
         return syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &info, 0);
       }},
      {"thread",
       [] {
         long result = -1;
         std::thread([&result] { result = 0; }).join();
         return result;
       }},
      {"memory",
       [] {
         const std::vector<uint8_t> much(64U << 20, 1);
         return much.back() == 1 ? 0L : -1L;
       }},
      {"abort",
       [] {
         std::abort();
         return 0L;
       }},
  };
  return *calls;
}

int Try(const std::string& sandbox, const std::string& call) {
  absl::Status status = HideMemory();
  if (status.ok()) {
    status = RenounceCapabilities();
  }
  if (status.ok()) {
    status = sandbox == "worker"     ? EnterWorkerSandbox()
             : sandbox == "launcher" ? EnterLauncherSandbox()
                                     : EnterSignerSandbox();
  }
  if (!status.ok()) {
    Say(status.ToString());
    return 1;
  }
  errno = 0;
  const long result = Calls().at(call)();
  Say(result >= 0 ? "done" : fmt::format("errno {}", errno));
  return 0;
}

int Main(const std::vector<std::string>& words) {
  if (words.at(0) == "report") {
    Report();
  } else if (words.at(0) == "exit") {
    return std::stoi(words.at(1));
  } else if (words.at(0) == "wait") {
    (void)Parent().Receive(kNoDeadline);
  } else if (words.at(0) == "leave-child") {
    const pid_t child = fork();
    if (child == 0) {
      pause();
    }
    Say(std::to_string(child));
  } else if (words.at(0) == "spin") {
    while (true) {
      asm volatile("");
    }
  } else if (words.at(0) == "signal") {
    (void)raise(std::stoi(words.at(1)));
  } else if (words.at(0) == "capabilities") {
    (void)RenounceCapabilities();
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3] = {};
    (void)syscall(SYS_capget, &header, have);
    Say(fmt::format("{} {}", have[0].effective | have[0].permitted,
                    have[1].effective | have[1].permitted));
  } else {
    return Try(words.at(0), words.at(1));
  }
  return 0;
}

}  // namespace
}  // namespace vmattest::ipc

int main(int argc, char** argv) {
  const int code = vmattest::ipc::Main({argv + 1, argv + argc});
  _exit(code);  // nothing of a sanitizer's runs after the sandbox
}
