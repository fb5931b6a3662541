#ifndef VMATTEST_TESTS_SUPPORT_LEDGER_NODE_PROCESS_H_
#define VMATTEST_TESTS_SUPPORT_LEDGER_NODE_PROCESS_H_

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "grpcpp/create_channel.h"
#include "support/temp_dir.h"
#include "support/vectors.h"
#include "vmattest/v1/ledger.grpc.pb.h"

namespace vmattest::testing {

// vmattest-verifierd as a ledger node in a folder of its own: v.yaml is its
// configuration, state/ its state, admin.sock where it listens. One thread.
class LedgerNodeProcess {
 public:
  LedgerNodeProcess() = default;
  LedgerNodeProcess(const LedgerNodeProcess&) = delete;
  LedgerNodeProcess& operator=(const LedgerNodeProcess&) = delete;
  ~LedgerNodeProcess() { Kill(); }

  [[nodiscard]] TempDir& dir() { return dir_; }
  [[nodiscard]] const TempDir& dir() const { return dir_; }
  [[nodiscard]] std::filesystem::path state() const {
    return dir_.path() / "state";
  }
  void Start() {
    pid_ = Run({});
    stub_ = v1::Ledger::NewStub(
        grpc::CreateChannel("unix:" + (dir_.path() / "admin.sock").string(),
                            grpc::InsecureChannelCredentials()));
  }
  void Kill() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(std::exchange(pid_, -1), nullptr, 0);
    }
  }
  // What it ends with by itself.
  int Wait() { return WaitFor(std::exchange(pid_, -1)); }
  // `vmattest-verifierd TASK` instead; its exit code.
  [[nodiscard]] int RunTask(const std::string& task) const {
    return WaitFor(Run(task));
  }
  [[nodiscard]] std::string log() const { return Slurp(dir_.path() / "log"); }

  template <class Request, class Response>
  grpc::Status Call(grpc::Status (v1::Ledger::Stub::*method)(
                        grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) const {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(30));
    return (stub_.get()->*method)(&context, request, response);
  }
  [[nodiscard]] v1::Ledger::Stub& stub() const { return *stub_; }

 private:
  [[nodiscard]] pid_t Run(const std::string& task) const {
    const pid_t pid = fork();
    if (pid == 0) {
      const std::string config = dir_.path() / "v.yaml";
      const std::string log = dir_.path() / "log";
      if (freopen(log.c_str(), "a", stderr) != nullptr) {
        execl(VMATTEST_VERIFIERD_PROGRAM, VMATTEST_VERIFIERD_PROGRAM,
              "--config", config.c_str(), task.empty() ? nullptr : task.c_str(),
              nullptr);
      }
      _exit(127);
    }
    return pid;
  }
  static int WaitFor(pid_t pid) {
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  TempDir dir_;
  pid_t pid_ = -1;
  std::unique_ptr<v1::Ledger::Stub> stub_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_LEDGER_NODE_PROCESS_H_
