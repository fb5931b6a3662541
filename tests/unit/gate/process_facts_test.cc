#include "gate/protocol/process_facts.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/handles.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

using testing::StatusIs;

class ProcessFactsTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  const ProcessKey self_{getpid(), StartTicks("/proc/self").value_or(0)};
};

TEST_F(ProcessFactsTest, APidGivenToAnotherProcessIsNotThatProcess) {
  EXPECT_TRUE(IsAlive(self_));
  EXPECT_FALSE(IsAlive({self_.pid, self_.start_ticks + 1}));
  EXPECT_FALSE(IsAlive({}));
}

TEST_F(ProcessFactsTest, ANameWithParenthesesHidesNothing) {
  std::string line = "7 (a) R 1 2 3 4) S";
  for (int field = 4; field <= 30; ++field) {
    line += " " + std::to_string(field * 100);
  }
  dir_.Write("stat", line);
  EXPECT_EQ(StartTicks(dir_.path()).value_or(0), 2200U);
  dir_.Write("stat", "7 (a) S 1 2");
  EXPECT_THAT(StartTicks(dir_.path()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ProcessFactsTest, AProcessInAnotherPidNamespaceIsFound) {
  const auto process = [this](const char* pid, const char* inner, int ticks) {
    std::filesystem::create_directories(dir_.path() / pid);
    std::string line = std::string(pid) + " (qemu) S";
    for (int field = 4; field <= 21; ++field) {
      line += " 0";
    }
    dir_.Write(std::string(pid) + "/stat", line + " " + std::to_string(ticks));
    dir_.Write(
        std::string(pid) + "/status",
        "Name:\tqemu\nNSpid:\t" + std::string(inner) + "\nSeccomp:\t0\n");
  };
  process("40", "40\t7", 900);
  process("41", "41\t7", 901);
  process("7", "7", 902);
  EXPECT_EQ(FindProcess({7, 901}, dir_.path()), (ProcessKey{41, 901}));
  EXPECT_EQ(FindProcess({7, 902}, dir_.path()), (ProcessKey{7, 902}));
  EXPECT_EQ(FindProcess({8, 901}, dir_.path()), std::nullopt);
}

TEST_F(ProcessFactsTest, AProcessHandedOverIsFoundWhateverItsPidWasThere) {
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  ASSERT_TRUE(pidfd.valid());
  EXPECT_EQ(ProcessBehind(pidfd.get()), self_);
  const UniqueFd other(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(ProcessBehind(other.get()), std::nullopt);
  EXPECT_EQ(ProcessBehind(-1), std::nullopt);
}

TEST_F(ProcessFactsTest, TellsHowAFileIsOpen) {
  const std::filesystem::path path = dir_.Write("file", "x");
  const auto find = [&path]() -> std::optional<OpenFile> {
    const auto files = ReadOpenFiles("/proc/self");
    const auto it =
        std::find_if(files->begin(), files->end(),
                     [&](const OpenFile& f) { return f.path == path; });
    return it == files->end() ? std::nullopt : std::optional(*it);
  };
  EXPECT_EQ(find(), std::nullopt);
  const std::pair<int, std::pair<bool, bool>> modes[] = {
      {O_RDONLY, {false, false}},
      {O_RDWR, {true, false}},
      {O_WRONLY, {true, true}}};
  for (const auto& [mode, expected] : modes) {
    const UniqueFd file(open(path.c_str(), mode | O_CLOEXEC));
    const std::optional<OpenFile> found = find();
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->writable, expected.first);
    EXPECT_EQ(found->write_only, expected.second);
  }
}

}  // namespace
}  // namespace vmattest::gate
