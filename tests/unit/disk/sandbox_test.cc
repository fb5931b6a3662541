// What reads a disk needs nothing but the disk, once it is prepared.
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "disk/inspect.h"
#include "gtest/gtest.h"
#include "unit/disk/debian_disk.h"

namespace vmattest::disk {
namespace {

using vmattest::testing::DebianDisk;
using vmattest::testing::DiskImages;
using vmattest::testing::OpenRaw;
using vmattest::testing::QemuNbd;
using vmattest::testing::RootFiles;
using vmattest::testing::Slurp;

// The system calls that are left once everything is prepared. Any other ends
// the process.
void EnterSandbox() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  for (const int call : {SCMP_SYS(read),          SCMP_SYS(write),
                         SCMP_SYS(pread64),       SCMP_SYS(lseek),
                         SCMP_SYS(close),         SCMP_SYS(mmap),
                         SCMP_SYS(munmap),        SCMP_SYS(mremap),
                         SCMP_SYS(madvise),       SCMP_SYS(brk),
                         SCMP_SYS(mprotect),      SCMP_SYS(futex),
                         SCMP_SYS(clock_gettime), SCMP_SYS(poll),
                         SCMP_SYS(recvfrom),      SCMP_SYS(sendto),
                         SCMP_SYS(shutdown),      SCMP_SYS(fcntl),
                         SCMP_SYS(getpid),        SCMP_SYS(set_robust_list),
                         SCMP_SYS(rseq),          SCMP_SYS(rt_sigprocmask),
                         SCMP_SYS(rt_sigaction),  // of the first thread
                         SCMP_SYS(exit),          SCMP_SYS(exit_group)}) {
    seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
  }
  const scmp_arg_cmp thread = {0, SCMP_CMP_MASKED_EQ, CLONE_THREAD,
                               CLONE_THREAD};
  seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &thread);
  const scmp_arg_cmp name = {0, SCMP_CMP_EQ, PR_SET_NAME, 0};
  seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, &name);
  seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  if (seccomp_load(filter) != 0) {
    _exit(3);
  }
}

int ExitCodeInSandbox(const std::function<bool()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    Prepare();
    EnterSandbox();
    _exit(work() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class SandboxTest : public ::testing::Test {
 protected:
  // dpkg and rpm, FAT and ext4, damaged headers and all messages on the way.
  SandboxTest() : disk_("5.2-1") {
    DiskImages::Files files = RootFiles("5.2-1");
    const std::string database = disk_.images().Path("rpmdb");
    DiskImages::Run({"sqlite3", database,
                     "CREATE TABLE Packages(hnum INTEGER PRIMARY KEY, blob "
                     "BLOB); INSERT INTO Packages VALUES (1, zeroblob(99));"});
    files["var/lib/rpm/rpmdb.sqlite"] = Slurp(database);
    disk_.SetRoot(files);
  }
  static bool Works(BlockSource& source) {
    const InspectOptions options{.guest_digest = true};
    const auto report = Inspect(source, options, nullptr);
    return report.ok() && report->leaves.size() > 20;
  }
  DebianDisk disk_;
};

TEST_F(SandboxTest, ARawImageNeedsNoOtherFile) {
  const auto source = OpenRaw(disk_.path());
  EXPECT_EQ(ExitCodeInSandbox([&] { return Works(*source); }), 0);
}

TEST_F(SandboxTest, AnNbdServerNeedsNothingButItsSocket) {
  const QemuNbd server(disk_.path(), "raw");
  UniqueFd socket = server.Connect();
  EXPECT_EQ(ExitCodeInSandbox([&] {
              auto source = NbdBlockSource::Connect(std::move(socket), "");
              return source.ok() && Works(**source);
            }),
            0);
}

TEST_F(SandboxTest, ADamagedDiskNeedsNoOtherFileEither) {
  DiskImages::WriteAt(disk_.path(), DebianDisk::kRootAt + 1024 + 0x78, "x");
  DiskImages::WriteAt(disk_.path(), DebianDisk::kEfiAt + 600, "damaged");
  const auto source = OpenRaw(disk_.path());
  EXPECT_EQ(
      ExitCodeInSandbox([&] { return Inspect(*source, {}, nullptr).ok(); }), 0);
}

}  // namespace
}  // namespace vmattest::disk
