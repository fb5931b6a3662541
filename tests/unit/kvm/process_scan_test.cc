#include "kvm/linux/process_scan.h"

#include <sys/stat.h>

#include <optional>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "unit/kvm/emulator.h"

namespace vmattest::kvm {
namespace {

using testing::Emulator;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using testing::TempDir;

// The process, once its program runs; nothing if it never does. In the middle
// of execve it has its new name already and no command line yet.
std::optional<VmProcess> Find(unsigned pid) {
  for (int i = 0; i < 500; ++i) {
    const auto all = ScanVmProcesses("/proc");
    if (!all.ok()) {
      return std::nullopt;
    }
    for (const VmProcess& process : *all) {
      if (process.id.pid == pid && !process.command.empty()) {
        return process;
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return std::nullopt;
}

TEST(ProcessScan, FindsAnEmulatorThatNobodyAnnounced) {
  const Emulator emulator;
  const std::optional<VmProcess> found = Find(emulator.pid());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->accelerator, Accelerator::kTcg);
  EXPECT_EQ(found->uid, getuid());
  EXPECT_GT(found->id.start_ticks, 0u);
  EXPECT_THAT(found->command, HasSubstr("-machine none"));
}

TEST(ProcessScan, DoesNotFindOtherPrograms) {
  const auto all = ScanVmProcesses("/proc");
  ASSERT_THAT(all, IsOk());
  for (const VmProcess& process : *all) {
    EXPECT_NE(process.id.pid, static_cast<uint32_t>(getpid()));
  }
}

TEST(ProcessScan, SaysThatThereIsNoProcFileSystem) {
  const TempDir dir;
  EXPECT_THAT(ScanVmProcesses(dir.path()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("no proc file system")));
}

std::set<ProcessId> Managed(const VmProcess& process, const TempDir& dir) {
  const auto files = ReadPidFiles(dir.path());
  EXPECT_THAT(files, IsOk());
  return ManagedAmong({process}, *files, dir.path(), "/proc");
}

TEST(ManagedProcesses, AreThoseThatLibvirtsPidFilesName) {
  const Emulator emulator;
  const std::optional<VmProcess> found = Find(emulator.pid());
  ASSERT_TRUE(found.has_value());
  TempDir dir;
  dir.Write("bad.pid", "12x\n");
  dir.Write("empty.pid", "");
  dir.Write("web.xml", fmt::format("{}\n", emulator.pid()));
  EXPECT_TRUE(Managed(*found, dir).empty());
  dir.Write("web.pid", fmt::format("{}\n", emulator.pid()));
  EXPECT_EQ(Managed(*found, dir), std::set<ProcessId>{found->id});
}

// A domain's QEMU crashed, its pid file stayed, and another process got the
// pid.
TEST(ManagedProcesses, AreNotThoseThatAreYoungerThanTheirPidFile) {
  const Emulator emulator;
  const std::optional<VmProcess> found = Find(emulator.pid());
  ASSERT_TRUE(found.has_value());
  TempDir dir;
  const auto file = dir.Write("web.pid", fmt::format("{}\n", emulator.pid()));
  const timespec old[2] = {{1'700'000'000, 0}, {1'700'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), old, 0), 0);
  EXPECT_TRUE(Managed(*found, dir).empty());
}

TEST(ManagedProcesses, AreNotTakenFromAFolderThatAnybodyMayWriteTo) {
  const TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0777), 0);
  EXPECT_THAT(ReadPidFiles(dir.path()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("anybody may write")));
}

TEST(ManagedProcesses, AreNoneWhereLibvirtNeverRan) {
  EXPECT_THAT(ReadPidFiles("/nonexistent/run"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(RunOf, TellsRunsOfAHostApart) {
  TempDir proc;
  proc.Write("sys/kernel/random/boot_id", "first\n");
  EXPECT_EQ(RunOf({12, 345}, proc.path()), "first.345.12");
  EXPECT_NE(RunOf({12, 346}, proc.path()), "first.345.12");
  proc.Write("sys/kernel/random/boot_id", "second\n");
  EXPECT_EQ(RunOf({12, 345}, proc.path()), "second.345.12");
  EXPECT_EQ(RunOf({12, 345}, "/nonexistent"), "");
  EXPECT_EQ(RunOf({1, 2}, "/proc").size(), 36U + 4U);
}

}  // namespace
}  // namespace vmattest::kvm
