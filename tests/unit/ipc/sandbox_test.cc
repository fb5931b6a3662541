#include "ipc/sandbox.h"

#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/channel.h"
#include "ipc/child_process.h"
#include "support/matchers.h"

namespace vmattest::ipc {
namespace {

constexpr std::chrono::seconds kLong{20};
constexpr std::string_view kForbidden =
    "killed by SIGSYS: a forbidden system call";

MonotonicTime Soon() { return std::chrono::steady_clock::now() + kLong; }

// What became of `call` in `sandbox`: what the child said, or how it ended.
std::string Outcome(const std::string& sandbox, const std::string& call) {
  ChildOptions options;
  options.program = VMATTEST_IPC_PROBE;
  options.arguments = {"probe", sandbox, call};
  auto child = ChildProcess::Spawn(options);
  if (!child.ok()) {
    return child.status().ToString();
  }
  Channel channel(std::move(child->channel), 1 << 20);
  const auto said = channel.Receive(Soon());
  const auto end = child->process.Wait(Soon());
  if (said.ok()) {
    return std::string(AsText(said->bytes));
  }
  return end.ok() ? *end : end.status().ToString();
}

class WorkerForbids : public ::testing::TestWithParam<const char*> {};

TEST_P(WorkerForbids, S25_KillsTheProcess) {
  EXPECT_EQ(Outcome("worker", GetParam()), kForbidden);
}

INSTANTIATE_TEST_SUITE_P(
    Sandbox, WorkerForbids,
    ::testing::Values("open", "tpm", "creat", "unix-socket", "inet-socket",
                      "fork", "vfork-clone", "exec", "ptrace",
                      "process_vm_readv", "kill", "tgkill-parent", "mount",
                      "unshare", "setuid", "bpf", "io_uring", "memfd",
                      "executable-memory", "make-executable", "map-file",
                      "sendmsg-elsewhere", "write-elsewhere", "stat"));

TEST(WorkerSandbox, LeavesWhatParsingNeeds) {
  EXPECT_EQ(Outcome("worker", "nothing"), "done");
  EXPECT_EQ(Outcome("worker", "thread"), "done");
  EXPECT_EQ(Outcome("worker", "memory"), "done");
}

TEST(WorkerSandbox, CrashIsACrashAndNoForbiddenCall) {
  EXPECT_EQ(Outcome("worker", "abort"), "killed by SIGABRT: it gave up");
}

class SignerForbids : public ::testing::TestWithParam<const char*> {};

TEST_P(SignerForbids, S25_KillsTheProcess) {
  EXPECT_EQ(Outcome("signer", GetParam()), kForbidden);
}

INSTANTIATE_TEST_SUITE_P(Sandbox, SignerForbids,
                         ::testing::Values("fork", "vfork-clone", "exec",
                                           "ptrace", "process_vm_readv",
                                           "mount", "unshare", "setuid", "bpf",
                                           "io_uring"));

TEST(SignerSandbox, HasNoNetwork) {
  EXPECT_EQ(Outcome("signer", "inet-socket"),
            fmt::format("errno {}", EAFNOSUPPORT));
}

TEST(SignerSandbox, CannotSignalOthers) {
  EXPECT_EQ(Outcome("signer", "kill"), fmt::format("errno {}", EPERM));
}

TEST(SignerSandbox, LeavesFilesUnixSocketsAndThreads) {
  for (const char* call :
       {"nothing", "open", "stat", "unix-socket", "thread", "memory"}) {
    EXPECT_EQ(Outcome("signer", call), "done") << call;
  }
}

class LauncherForbids : public ::testing::TestWithParam<const char*> {};

TEST_P(LauncherForbids, S25_KillsTheProcess) {
  EXPECT_EQ(Outcome("launcher", GetParam()), kForbidden);
}

INSTANTIATE_TEST_SUITE_P(Sandbox, LauncherForbids,
                         ::testing::Values("ptrace", "process_vm_readv",
                                           "keyctl"));

TEST(LauncherSandbox, KeepsItsProcessGroupAndItsUser) {
  const std::string refused = fmt::format("errno {}", EPERM);
  for (const char* const call :
       {"setsid", "setpgid", "setuid", "unshare", "mount", "bpf"}) {
    EXPECT_EQ(Outcome("launcher", call), refused) << call;
  }
  EXPECT_EQ(Outcome("launcher", "inet-socket"),
            fmt::format("errno {}", EAFNOSUPPORT));
}

TEST(LauncherSandbox, LeavesWhatStartingProgramsNeeds) {
  for (const char* const call :
       {"open", "unix-socket", "fork", "thread", "memory", "memfd"}) {
    EXPECT_EQ(Outcome("launcher", call).substr(0, 4), "done") << call;
  }
}

}  // namespace
}  // namespace vmattest::ipc
