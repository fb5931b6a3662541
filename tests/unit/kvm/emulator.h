#ifndef VMATTEST_TESTS_UNIT_KVM_EMULATOR_H_
#define VMATTEST_TESTS_UNIT_KVM_EMULATOR_H_

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vmattest::testing {

// A QEMU without a machine, started by hand; killed with the object. Other
// tests run emulators at the same time: look for this pid only.
class Emulator {
 public:
  Emulator() {
    pid_ = fork();
    if (pid_ == 0) {
      const int null = open("/dev/null", O_RDWR);
      dup2(null, 0);
      dup2(null, 1);
      execlp("qemu-system-x86_64", "qemu-system-x86_64", "-S", "-nodefaults",
             "-machine", "none", "-accel", "tcg", "-display", "none", nullptr);
      _exit(127);
    }
  }
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;
  ~Emulator() { Kill(); }

  void Kill() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }
  [[nodiscard]] unsigned pid() const { return static_cast<unsigned>(pid_); }

 private:
  pid_t pid_ = -1;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_UNIT_KVM_EMULATOR_H_
