#include "ipc/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <memory>

#include "base/handles.h"
#include "fmt/format.h"
#include "ipc/child_process.h"

namespace vmattest::ipc {
namespace {

using FilterHandle = std::unique_ptr<void, Closer<seccomp_release>>;

// Collects rules; the first failure stays.
class Filter {
 public:
  explicit Filter(uint32_t default_action)
      : filter_(seccomp_init(default_action)) {
    if (filter_ == nullptr) {
      Note(-ENOMEM);
      return;
    }
    // Calls of another architecture are refused as harshly.
    Note(seccomp_attr_set(filter_.get(), SCMP_FLTATR_ACT_BADARCH,
                          SCMP_ACT_KILL_PROCESS));
  }

  void Add(uint32_t action, std::initializer_list<int> calls) {
    for (const int call : calls) {
      Add(action, call, {});
    }
  }
  // All of `conditions` must hold.
  void Add(uint32_t action, int call,
           std::initializer_list<scmp_arg_cmp> conditions) {
    if (error_ == 0) {
      Note(seccomp_rule_add_array(filter_.get(), action, call,
                                  static_cast<unsigned>(conditions.size()),
                                  conditions.begin()));
    }
  }
  absl::Status Load() {
    if (error_ == 0) {
      Note(seccomp_load(filter_.get()));
    }
    return error_ == 0 ? absl::OkStatus()
                       : ErrnoStatus(error_, "installing a seccomp filter");
  }

 private:
  void Note(int result) {
    if (result < 0 && error_ == 0) {
      error_ = -result;
    }
  }

  FilterHandle filter_;
  int error_ = 0;
};

scmp_arg_cmp Masked(unsigned argument, uint64_t mask, uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}
scmp_arg_cmp Equal(unsigned argument, uint64_t value) {
  return {argument, SCMP_CMP_EQ, value, 0};
}

// What a C++ program needs to live, compute with several threads, and end.
void AllowComputing(Filter& filter) {
  filter.Add(SCMP_ACT_ALLOW, {SCMP_SYS(brk),
                              SCMP_SYS(munmap),
                              SCMP_SYS(mremap),
                              SCMP_SYS(madvise),
                              SCMP_SYS(futex),
                              SCMP_SYS(clock_gettime),
                              SCMP_SYS(clock_getres),
                              SCMP_SYS(clock_nanosleep),
                              SCMP_SYS(nanosleep),
                              SCMP_SYS(gettimeofday),
                              SCMP_SYS(time),
                              SCMP_SYS(getrandom),
                              SCMP_SYS(sched_yield),
                              SCMP_SYS(sched_getaffinity),
                              SCMP_SYS(getpid),
                              SCMP_SYS(gettid),
                              SCMP_SYS(getuid),
                              SCMP_SYS(geteuid),
                              SCMP_SYS(getgid),
                              SCMP_SYS(getegid),
                              SCMP_SYS(rt_sigreturn),
                              SCMP_SYS(rt_sigaction),
                              SCMP_SYS(rt_sigprocmask),
                              SCMP_SYS(sigaltstack),
                              SCMP_SYS(restart_syscall),
                              SCMP_SYS(set_robust_list),
                              SCMP_SYS(rseq),
                              SCMP_SYS(set_tid_address),
                              SCMP_SYS(membarrier),
                              SCMP_SYS(getrusage),
                              SCMP_SYS(sysinfo),
                              SCMP_SYS(exit),
                              SCMP_SYS(exit_group)});
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), {Equal(0, PR_SET_NAME)});
  // abort() signals its own process.
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
             {Equal(0, static_cast<uint64_t>(getpid()))});
  // A thread, but no process. clone3 keeps its flags where no filter sees
  // them; the C library does with clone then.
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(clone),
             {Masked(0, CLONE_THREAD, CLONE_THREAD)});
  filter.Add(SCMP_ACT_ERRNO(ENOSYS), {SCMP_SYS(clone3)});
}

void AllowReading(Filter& filter) {
  filter.Add(
      SCMP_ACT_ALLOW,
      {SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(preadv),
       SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(poll), SCMP_SYS(ppoll),
       SCMP_SYS(close), SCMP_SYS(fadvise64), SCMP_SYS(readahead)});
  for (const int command : {F_GETFL, F_SETFL, F_GETFD, F_SETFD}) {
    filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(fcntl),
               {Equal(1, static_cast<uint64_t>(command))});
  }
}

}  // namespace

absl::Status HideMemory() {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0 ||
      prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return ErrnoStatus(errno, "hiding memory");
  }
  return absl::OkStatus();
}

absl::Status RenounceCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, have) != 0) {
    return ErrnoStatus(errno, "reading capabilities");
  }
  bool any = false;
  for (const __user_cap_data_struct& part : have) {
    any = any || (part.effective | part.permitted | part.inheritable) != 0;
  }
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (any && syscall(SYS_capset, &header, none) != 0) {
    return ErrnoStatus(errno, "renouncing capabilities");
  }
  return absl::OkStatus();
}

absl::Status EnterWorkerSandbox(int second_channel, bool map_files) {
  // With an arena for each thread malloc looks into /proc and /sys now and
  // then, as when it gives much back.
  mallopt(M_ARENA_MAX, 1);
  Filter filter(SCMP_ACT_KILL_PROCESS);
  AllowComputing(filter);
  AllowReading(filter);
  // What fstat() is in the C library.
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(newfstatat),
             {Masked(3, AT_EMPTY_PATH, AT_EMPTY_PATH)});
  constexpr uint64_t kAnonymous = MAP_ANONYMOUS;
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(mmap),
             {Masked(2, PROT_EXEC, 0), Masked(3, kAnonymous, kAnonymous)});
  if (map_files) {
    filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(mmap),
               {Equal(2, PROT_READ), Masked(3, MAP_FIXED, 0)});
    filter.Add(SCMP_ACT_ALLOW, {SCMP_SYS(pwrite64)});
  }
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), {Masked(2, PROT_EXEC, 0)});
  for (const int channel : {kChannelFd, second_channel}) {
    if (channel >= 0) {
      const auto fd = static_cast<uint64_t>(channel);
      filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(recvmsg), {Equal(0, fd)});
      filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), {Equal(0, fd)});
    }
  }
  // The NBD socket that came with the request, already connected.
  filter.Add(SCMP_ACT_ALLOW, {SCMP_SYS(recvfrom)});
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(sendto), {Equal(4, 0)});
  filter.Add(SCMP_ACT_ALLOW, {SCMP_SYS(getsockopt), SCMP_SYS(shutdown)});
  // Last words.
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(write), {Equal(0, STDERR_FILENO)});
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(writev), {Equal(0, STDERR_FILENO)});
  return filter.Load();
}

// A list of what is forbidden: what QEMU needs is QEMU's to change.
absl::Status EnterLauncherSandbox() {
  Filter filter(SCMP_ACT_ALLOW);
  filter.Add(SCMP_ACT_KILL_PROCESS, {SCMP_SYS(ptrace),
                                     SCMP_SYS(process_vm_readv),
                                     SCMP_SYS(process_vm_writev),
                                     SCMP_SYS(pidfd_getfd),
                                     SCMP_SYS(kcmp),
                                     SCMP_SYS(perf_event_open),
                                     SCMP_SYS(userfaultfd),
                                     SCMP_SYS(pivot_root),
                                     SCMP_SYS(setns),
                                     SCMP_SYS(init_module),
                                     SCMP_SYS(finit_module),
                                     SCMP_SYS(delete_module),
                                     SCMP_SYS(kexec_load),
                                     SCMP_SYS(kexec_file_load),
                                     SCMP_SYS(reboot),
                                     SCMP_SYS(swapon),
                                     SCMP_SYS(swapoff),
                                     SCMP_SYS(keyctl),
                                     SCMP_SYS(add_key),
                                     SCMP_SYS(request_key),
                                     SCMP_SYS(open_by_handle_at),
                                     SCMP_SYS(move_mount),
                                     SCMP_SYS(open_tree),
                                     SCMP_SYS(fsopen)});
  // What programs try, and can do without. Whoever left the process group
  // would outlive its end.
  filter.Add(
      SCMP_ACT_ERRNO(EPERM),
      {SCMP_SYS(setsid), SCMP_SYS(setpgid), SCMP_SYS(unshare), SCMP_SYS(mount),
       SCMP_SYS(umount2), SCMP_SYS(chroot), SCMP_SYS(bpf), SCMP_SYS(setuid),
       SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid),
       SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setgroups)});
  filter.Add(SCMP_ACT_ERRNO(ENOSYS), {SCMP_SYS(io_uring_setup)});
  // New namespaces by the other door.
  for (const int flag : {CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET,
                         CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP}) {
    const auto bit = static_cast<uint64_t>(flag);
    filter.Add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), {Masked(0, bit, bit)});
  }
  filter.Add(SCMP_ACT_ERRNO(ENOSYS), {SCMP_SYS(clone3)});
  filter.Add(SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket),
             {{0, SCMP_CMP_NE, AF_UNIX, 0}});
  return filter.Load();
}

absl::Status EnterSignerSandbox() {
  Filter filter(SCMP_ACT_ERRNO(EPERM));
  filter.Add(SCMP_ACT_KILL_PROCESS, {SCMP_SYS(execve),
                                     SCMP_SYS(execveat),
                                     SCMP_SYS(fork),
                                     SCMP_SYS(vfork),
                                     SCMP_SYS(ptrace),
                                     SCMP_SYS(process_vm_readv),
                                     SCMP_SYS(process_vm_writev),
                                     SCMP_SYS(pidfd_getfd),
                                     SCMP_SYS(kcmp),
                                     SCMP_SYS(bpf),
                                     SCMP_SYS(perf_event_open),
                                     SCMP_SYS(userfaultfd),
                                     SCMP_SYS(io_uring_setup),
                                     SCMP_SYS(mount),
                                     SCMP_SYS(umount2),
                                     SCMP_SYS(pivot_root),
                                     SCMP_SYS(chroot),
                                     SCMP_SYS(unshare),
                                     SCMP_SYS(setns),
                                     SCMP_SYS(init_module),
                                     SCMP_SYS(finit_module),
                                     SCMP_SYS(delete_module),
                                     SCMP_SYS(kexec_load),
                                     SCMP_SYS(kexec_file_load),
                                     SCMP_SYS(reboot),
                                     SCMP_SYS(swapon),
                                     SCMP_SYS(setuid),
                                     SCMP_SYS(setgid),
                                     SCMP_SYS(setreuid),
                                     SCMP_SYS(setregid),
                                     SCMP_SYS(setresuid),
                                     SCMP_SYS(setresgid),
                                     SCMP_SYS(setgroups),
                                     SCMP_SYS(keyctl),
                                     SCMP_SYS(add_key),
                                     SCMP_SYS(request_key),
                                     SCMP_SYS(open_by_handle_at)});
  filter.Add(SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone),
             {Masked(0, CLONE_THREAD, 0)});
  filter.Add(SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket),
             {{0, SCMP_CMP_NE, AF_UNIX, 0}});
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(socket), {Equal(0, AF_UNIX)});
  AllowComputing(filter);
  AllowReading(filter);
  filter.Add(
      SCMP_ACT_ALLOW,
      {SCMP_SYS(write),      SCMP_SYS(writev),     SCMP_SYS(pwrite64),
       SCMP_SYS(pwritev),    SCMP_SYS(open),       SCMP_SYS(openat),
       SCMP_SYS(openat2),    SCMP_SYS(stat),       SCMP_SYS(lstat),
       SCMP_SYS(newfstatat), SCMP_SYS(statx),      SCMP_SYS(statfs),
       SCMP_SYS(fstatfs),    SCMP_SYS(access),     SCMP_SYS(faccessat),
       SCMP_SYS(faccessat2), SCMP_SYS(readlink),   SCMP_SYS(readlinkat),
       SCMP_SYS(getdents64), SCMP_SYS(getcwd),     SCMP_SYS(mkdir),
       SCMP_SYS(mkdirat),    SCMP_SYS(rename),     SCMP_SYS(renameat),
       SCMP_SYS(renameat2),  SCMP_SYS(link),       SCMP_SYS(linkat),
       SCMP_SYS(unlink),     SCMP_SYS(unlinkat),   SCMP_SYS(rmdir),
       SCMP_SYS(ftruncate),  SCMP_SYS(truncate),   SCMP_SYS(fallocate),
       SCMP_SYS(fsync),      SCMP_SYS(fdatasync),  SCMP_SYS(sync_file_range),
       SCMP_SYS(flock),      SCMP_SYS(chmod),      SCMP_SYS(fchmod),
       SCMP_SYS(fchmodat),   SCMP_SYS(utimensat),  SCMP_SYS(umask),
       SCMP_SYS(dup),        SCMP_SYS(dup2),       SCMP_SYS(dup3),
       SCMP_SYS(pipe2),      SCMP_SYS(eventfd2),   SCMP_SYS(epoll_create1),
       SCMP_SYS(epoll_ctl),  SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
       SCMP_SYS(select),     SCMP_SYS(pselect6),   SCMP_SYS(memfd_create)});
  filter.Add(SCMP_ACT_ALLOW, {SCMP_SYS(mmap),
                              SCMP_SYS(mprotect),
                              SCMP_SYS(mlock),
                              SCMP_SYS(mlock2),
                              SCMP_SYS(munlock),
                              SCMP_SYS(mlockall),
                              SCMP_SYS(munlockall),
                              SCMP_SYS(connect),
                              SCMP_SYS(sendto),
                              SCMP_SYS(recvfrom),
                              SCMP_SYS(sendmsg),
                              SCMP_SYS(recvmsg),
                              SCMP_SYS(shutdown),
                              SCMP_SYS(getsockopt),
                              SCMP_SYS(setsockopt),
                              SCMP_SYS(getsockname),
                              SCMP_SYS(getpeername),
                              SCMP_SYS(socketpair),
                              SCMP_SYS(uname),
                              SCMP_SYS(getppid),
                              SCMP_SYS(getpgrp),
                              SCMP_SYS(getresuid),
                              SCMP_SYS(getresgid),
                              SCMP_SYS(getgroups),
                              SCMP_SYS(capget),
                              SCMP_SYS(sched_getparam),
                              SCMP_SYS(sched_getscheduler),
                              SCMP_SYS(getpriority),
                              SCMP_SYS(rt_sigtimedwait),
                              SCMP_SYS(rt_sigpending),
                              SCMP_SYS(ioctl)});
  // Reading limits, its own.
  filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), {Equal(2, 0)});
  for (const int command : {F_DUPFD, F_DUPFD_CLOEXEC, F_GETLK, F_SETLK,
                            F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW}) {
    filter.Add(SCMP_ACT_ALLOW, SCMP_SYS(fcntl),
               {Equal(1, static_cast<uint64_t>(command))});
  }
  return filter.Load();
}

}  // namespace vmattest::ipc
