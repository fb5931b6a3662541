#ifndef VMATTEST_IPC_CHILD_PROCESS_H_
#define VMATTEST_IPC_CHILD_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/handles.h"
#include "base/status.h"

namespace vmattest::ipc {

// Where a program of ours finds its end of the channel.
inline constexpr int kChannelFd = 3;

// Whom a child becomes: supplementary groups are dropped, too.
struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
};
// NOT_FOUND: no such user.
absl::StatusOr<Identity> FindUser(const std::string& name);

struct ChildOptions {
  std::string program;                   // absolute path
  std::vector<std::string> arguments;    // argv[0] first
  std::vector<std::string> environment;  // "NAME=value"; nothing else is there
  // Needs the right to become another user: PERMISSION_DENIED else.
  std::optional<Identity> run_as;
  // With `run_as`: the only supplementary group, none without it.
  std::optional<gid_t> extra_group;
  // Resource limits; a core dump is never written, no file ever grows where
  // `no_files` is set.
  std::optional<uint64_t> address_space;  // bytes
  std::optional<uint64_t> data;           // bytes of private memory
  std::optional<std::chrono::seconds> cpu_time;
  std::optional<uint64_t> open_files;
  bool no_files = false;
  std::optional<uint64_t> file_size;  // bytes, of each file
  // It leads a process group of its own. Whatever is left of that when it has
  // ended is killed, and waited for.
  bool own_group = false;
  // It lives on when we do not, and ends by itself.
  bool outlives_us = false;
  // Own network, mount and IPC namespaces, where the kernel lets us.
  bool own_namespaces = false;
  // Leaves it CAP_DAC_READ_SEARCH and no other capability, if we have that: it
  // reads files of all users.
  bool read_all_files = false;
  // A Landlock ruleset that it may not step out of; -1: none.
  int landlock = -1;
};

// A program of ours in a process of its own. It inherits standard error, one
// end of a channel as kChannelFd, and nothing else; it can gain no privileges,
// has no ambient capabilities but what the options leave it, and, unless it is
// to outlive us, dies with the thread that spawned it: spawn from one that
// lives as long as the child may. Needs Linux 5.9.
//
// One thread at a time, but for Kill(): any thread.
class ChildProcess {
 public:
  struct Spawned;
  // Safe in a program with many threads: between fork and exec only system
  // calls are made, on memory of ours that nobody else touches. The message of
  // an error names the step that failed and the program.
  static absl::StatusOr<Spawned> Spawn(const ChildOptions& options);

  ChildProcess(ChildProcess&&) = default;
  // The old child, if there is one, must have been waited for.
  ChildProcess& operator=(ChildProcess&&) = delete;
  // Kills what still runs, and waits for it.
  ~ChildProcess();

  [[nodiscard]] pid_t pid() const { return pid_; }

  // SIGKILL. Harmless once the child has ended: its number is not reused.
  void Kill() const;
  // How it ended, as a sentence: "exited with status 0", "killed by SIGSYS: a
  // forbidden system call". DEADLINE_EXCEEDED: it still runs.
  absl::StatusOr<std::string> Wait(MonotonicTime deadline);

 private:
  ChildProcess(pid_t pid, UniqueFd pidfd, bool leads_group)
      : pid_(pid), leads_group_(leads_group), pidfd_(std::move(pidfd)) {}
  void AwaitGroup() const;

  pid_t pid_;
  bool leads_group_;
  UniqueFd pidfd_;  // none once moved from
  std::string ended_;
};

struct ChildProcess::Spawned {
  ChildProcess process;
  UniqueFd channel;  // our end
};

}  // namespace vmattest::ipc

#endif  // VMATTEST_IPC_CHILD_PROCESS_H_
