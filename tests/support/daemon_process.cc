#include "support/daemon_process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "support/vectors.h"

extern char** environ;

namespace vmattest::testing {
namespace {

constexpr std::chrono::milliseconds kPollPause{20};

// In the child only: its output goes to files, so nothing can fill up.
[[noreturn]] void Become(const std::vector<std::string>& words,
                         const std::string& out, const std::string& err) {
  std::vector<char*> arguments;
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  const int flags = O_WRONLY | O_CREAT | O_APPEND;
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(open(out.c_str(), flags, 0600), STDOUT_FILENO);
  dup2(open(err.c_str(), flags, 0600), STDERR_FILENO);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

pid_t Spawn(const std::vector<std::string>& words, const std::string& out,
            const std::string& err) {
  const pid_t pid = fork();
  if (pid < 0) {
    throw std::runtime_error("fork failed");
  }
  if (pid == 0) {
    Become(words, out, err);
  }
  return pid;
}

int ExitCode(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int Await(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return ExitCode(status);
}

// With post-quantum signatures where ctest made the module
// (tests/support/pq_module.cmake).
std::string Signing() {
  const char* module = std::getenv("VMATTEST_PQ_MODULE");
  return module == nullptr ? "post_quantum: \"off\""
                           : fmt::format("module: \"{}\"", module);
}

}  // namespace

Ran RunToEnd(const std::vector<std::string>& words) {
  const TempDir dir;
  const std::string out = dir.path() / "out";
  const std::string err = dir.path() / "err";
  Ran ran;
  ran.exit_code = Await(Spawn(words, out, err));
  ran.out = Slurp(out);
  ran.err = Slurp(err);
  return ran;
}

bool Eventually(const std::function<bool()>& done, std::chrono::seconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) {
      return false;
    }
    // Leaves the processors to what is waited for.
    std::this_thread::sleep_for(kPollPause);
  }
  return true;
}

DaemonProcess::DaemonProcess(const Options& options) {
  config_ = dir_.Write(
      "vmattestd.yaml",
      fmt::format(
          "state_dir: {0}/state\n"
          "log_level: debug\n"
          "libvirt: {{uri: \"{1}\"}}\n"
          "tpm: {{tcti: \"{2}\", boot_log: \"\"}}\n"
          "processes: {{worker_user: nobody, scratch_dir: {0}/scratch}}\n"
          "signing: {{{3}}}\n"
          "listen:\n"
          "  admin_socket: {0}/admin.sock\n"
          "  read_socket: {0}/read.sock\n"
          "{4}",
          dir_.path().string(), options.libvirt_uri, options.tcti, Signing(),
          options.more));
  Start();
}

DaemonProcess::~DaemonProcess() {
  if (pid_ > 0) {
    Signal(SIGKILL);
    Await(pid_);
  }
}

void DaemonProcess::Wait() {
  Await(pid_);
  pid_ = -1;
}

void DaemonProcess::Start() {
  const std::string log = dir_.path() / "log";
  pid_ = Spawn({Program(), "--config", config_.string()}, log, log);
  Eventually([this] {
    int status = 0;
    return waitpid(pid_, &status, WNOHANG) != 0 ||
           Vmattest({"call", "list"}).exit_code == 0;
  });
}

int DaemonProcess::Stop() {
  Signal(SIGTERM);
  return Await(std::exchange(pid_, -1));
}

void DaemonProcess::Signal(int signal) const { kill(pid_, signal); }

Ran DaemonProcess::Vmattest(std::vector<std::string> words) const {
  words.insert(words.begin(), CommandLine());
  words.insert(words.end(), {"--socket", admin_socket().string()});
  return RunToEnd(words);
}

bool DaemonProcess::AwaitServing() const {
  return Eventually([this] { return Vmattest({"status"}).exit_code == 0; });
}

std::string DaemonProcess::log() const { return Slurp(dir_.path() / "log"); }

uint64_t DaemonProcess::RssKib() const {
  std::ifstream status(fmt::format("/proc/{}/status", pid_));
  for (std::string word; status >> word;) {
    if (word == "VmRSS:") {
      uint64_t kib = 0;
      status >> kib;
      return kib;
    }
  }
  throw std::runtime_error("no VmRSS");
}

std::string DaemonProcess::Program() { return VMATTEST_DAEMON_PROGRAM; }
std::string DaemonProcess::CommandLine() { return VMATTEST_CLI_PROGRAM; }

}  // namespace vmattest::testing
