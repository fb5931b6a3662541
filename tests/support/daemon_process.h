#ifndef VMATTEST_TESTS_SUPPORT_DAEMON_PROCESS_H_
#define VMATTEST_TESTS_SUPPORT_DAEMON_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace vmattest::testing {

struct Ran {
  int exit_code = -1;  // 128 + signal if one ended it
  std::string out;
  std::string err;
};

// Runs a program to its end with nothing to read.
Ran RunToEnd(const std::vector<std::string>& words);

// Calls `done` until it is true; false after `limit`. `done` takes its time,
// by asking another process.
bool Eventually(const std::function<bool()>& done,
                std::chrono::seconds limit = std::chrono::seconds(60));

// A real vmattestd in a folder of its own, and the real command line.
class DaemonProcess {
 public:
  struct Options {
    std::string libvirt_uri;
    std::string tcti;
    std::string more;  // YAML
  };
  // Starts it and waits until it listens or ends.
  explicit DaemonProcess(const Options& options);
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;
  ~DaemonProcess();

  void Start();
  // SIGTERM; its exit code.
  int Stop();
  void Signal(int signal) const;
  // For its end, after Signal().
  void Wait();
  [[nodiscard]] pid_t pid() const { return pid_; }

  // `vmattest WORDS --socket ADMIN`.
  [[nodiscard]] Ran Vmattest(std::vector<std::string> words) const;
  // True once every component serves.
  [[nodiscard]] bool AwaitServing() const;
  [[nodiscard]] std::string log() const;
  [[nodiscard]] uint64_t RssKib() const;

  [[nodiscard]] std::filesystem::path folder() const { return dir_.path(); }
  [[nodiscard]] std::filesystem::path config() const { return config_; }
  [[nodiscard]] std::filesystem::path admin_socket() const {
    return dir_.path() / "admin.sock";
  }
  [[nodiscard]] std::filesystem::path read_socket() const {
    return dir_.path() / "read.sock";
  }

  static std::string Program();      // vmattestd
  static std::string CommandLine();  // vmattest

 private:
  TempDir dir_;
  std::filesystem::path config_;
  pid_t pid_ = -1;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_DAEMON_PROCESS_H_
