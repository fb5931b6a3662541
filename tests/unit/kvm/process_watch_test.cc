#include <map>

#include "base/mutex.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kvm/linux/linux_process_watch.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "unit/kvm/emulator.h"

namespace vmattest::kvm {
namespace {

using std::chrono::milliseconds;
using testing::Emulator;
using testing::TempDir;

// What the watch said about each pid.
class Said {
 public:
  ProcessWatchObserver Observer() {
    return {.appeared = [this](const VmProcess& p) { Add(p, "appeared "); },
            .gone = [this](const VmProcess& p) { Add(p, "gone "); }};
  }
  // True once `what` is all that was said about `pid`; false after `patience`.
  bool Becomes(unsigned pid, const std::string& what,
               milliseconds patience = milliseconds(20'000)) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    const MutexLock lock(mutex_);
    while (said_[pid] != what) {
      if (!changed_.WaitUntil(mutex_, deadline)) {
        return said_[pid] == what;
      }
    }
    return true;
  }

 private:
  void Add(const VmProcess& process, const char* what) {
    const MutexLock lock(mutex_);
    said_[process.id.pid] += what;
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  std::map<uint32_t, std::string> said_ GUARDED_BY(mutex_);
};

bool Lists(const ProcessWatch& watch, unsigned pid) {
  for (const VmProcess& process : watch.Unmanaged()) {
    if (process.id.pid == pid) {
      return true;
    }
  }
  return false;
}

LinuxProcessWatch::Options Fast(const TempDir& run) {
  return {.libvirt_run_dir = run.path(),
          .interval = milliseconds(50),
          .grace = milliseconds(150)};
}

TEST(ProcessWatch, S19_ReportsAVmThatLibvirtDoesNotKnowAndItsEnd) {
  const TempDir run;
  Said said;
  LinuxProcessWatch watch(Fast(run), said.Observer());
  Emulator emulator;
  const unsigned pid = emulator.pid();
  ASSERT_TRUE(said.Becomes(pid, "appeared "));
  emulator.Kill();
  ASSERT_TRUE(said.Becomes(pid, "appeared gone "));
  EXPECT_FALSE(Lists(watch, pid));
}

TEST(ProcessWatch, S19_FindsVmsThatAreOlderThanItself) {
  const TempDir run;
  Said said;
  const Emulator emulator;
  LinuxProcessWatch watch(Fast(run), said.Observer());
  EXPECT_TRUE(said.Becomes(emulator.pid(), "appeared "));
}

// The foreign one, started later, shows that looks were taken meanwhile.
TEST(ProcessWatch, SaysNothingAboutLibvirtsOwnDomains) {
  TempDir run;
  Said said;
  const Emulator managed;
  run.Write("web.pid", fmt::format("{}\n", managed.pid()));
  LinuxProcessWatch watch(Fast(run), said.Observer());
  const Emulator foreign;
  ASSERT_TRUE(said.Becomes(foreign.pid(), "appeared "));
  EXPECT_FALSE(Lists(watch, managed.pid()));
  EXPECT_TRUE(said.Becomes(managed.pid(), ""));
}

TEST(ProcessWatch, ReportsADomainThatLibvirtLostTrackOf) {
  TempDir run;
  Said said;
  const Emulator emulator;
  const auto pid_file =
      run.Write("web.pid", fmt::format("{}\n", emulator.pid()));
  LinuxProcessWatch watch(Fast(run), said.Observer());
  std::filesystem::remove(pid_file);
  EXPECT_TRUE(said.Becomes(emulator.pid(), "appeared "));
}

TEST(ProcessWatch, SaysWhenItIsBlind) {
  const TempDir run;
  const TempDir no_proc;
  LinuxProcessWatch::Options options = Fast(run);
  options.proc = no_proc.path();
  const LinuxProcessWatch watch(options, {});
  absl::Status health;
  for (int i = 0; i < 1000 && health.ok(); ++i) {
    health = watch.Health();
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_THAT(health, testing::StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace vmattest::kvm
