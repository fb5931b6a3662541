#include "memory/linux/process_ram.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::memory {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr uint64_t kOdd = (uint64_t{3} << 20) + 4096 * 7;

uint64_t TicksOf(const std::string& path) {
  std::ifstream stat(path);
  const std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream rest(text.substr(text.rfind(')') + 1));
  std::string word;
  for (int field = 3; field <= 22; ++field) {
    rest >> word;
  }
  return std::stoull(word);
}

kvm::ProcessId Me() {
  return {static_cast<uint32_t>(getpid()), TicksOf("/proc/self/stat")};
}

TEST(ParseMappings, ReadsLinesAndDropsWhatIsNone) {
  const auto mappings = ParseMappings(
      "7f0000000000-7f0010000000 rw-s 00001000 00:01 4242    /memfd:guest "
      "ram (deleted)\n"
      "nonsense\n"
      "7f0020000000-7f0010000000 rw-p 00000000 00:00 0 \n"
      "7f0030000000-7f0030001000 r--p 00000000 00:00 0 \n");
  ASSERT_THAT(mappings, SizeIs(2));
  EXPECT_EQ(mappings[0].begin, 0x7f0000000000U);
  EXPECT_EQ(mappings[0].offset, 0x1000U);
  EXPECT_TRUE(mappings[0].shared);
  EXPECT_EQ(mappings[0].inode, 4242U);
  EXPECT_EQ(mappings[0].path, "/memfd:guest ram (deleted)");
  EXPECT_FALSE(mappings[1].writable);
}

TEST(OpenRam, FindsSharedAndAnonymousMemoryByItsSize) {
  const UniqueFd file(memfd_create("guest", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.get(), kOdd), 0);
  void* const shared =
      mmap(nullptr, kOdd, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  // Room around it, so that it stays a mapping of its own.
  auto* const room = static_cast<uint8_t*>(mmap(
      nullptr, kOdd + 16384, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  void* const anonymous = mmap(room + 8192, kOdd, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  ASSERT_OK_AND_ASSIGN(const auto sources, OpenRam(Me(), {kOdd}));
  ASSERT_THAT(sources, SizeIs(2));
  const bool first_is_file = sources[0].way == RamSource::Way::kFile;
  const RamSource& by_file = sources[first_is_file ? 0 : 1];
  const RamSource& by_process = sources[first_is_file ? 1 : 0];
  EXPECT_EQ(by_file.way, RamSource::Way::kFile);
  EXPECT_TRUE(by_file.mappable);
  EXPECT_TRUE(by_process.anonymous);
  EXPECT_EQ(by_process.base, reinterpret_cast<uintptr_t>(anonymous));
  // For reading alone: a worker that was taken over changes no guest.
  EXPECT_LT(write(by_file.memory.get(), "x", 1), 0);
  EXPECT_LT(write(by_process.memory.get(), "x", 1), 0);
  EXPECT_THAT(OtherMappers(Me(), FilesOf(sources)), IsEmpty());
  munmap(shared, kOdd);
  munmap(room, kOdd + 16384);
  EXPECT_THAT(*OpenRam(Me(), {kOdd}), IsEmpty());
}

TEST(OtherMappers, SaysThatItHadNoTimeForAllProcesses) {
  const UniqueFd file(memfd_create("guest", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.get(), kOdd), 0);
  void* const shared =
      mmap(nullptr, kOdd, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_OK_AND_ASSIGN(const auto sources, OpenRam(Me(), {kOdd}));
  EXPECT_THAT(OtherMappers(Me(), FilesOf(sources), "/proc",
                           std::chrono::milliseconds(0)),
              ElementsAre("not all processes could be looked at"));
  EXPECT_THAT(OtherMappers(Me(), {}, "/proc", std::chrono::milliseconds(0)),
              IsEmpty());
  munmap(shared, kOdd);
}

TEST(FirstUnmapped, NamesWhatWasTakenAwayWhateverLiesThereNow) {
  const UniqueFd file(memfd_create("guest", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.get(), kOdd), 0);
  void* const shared =
      mmap(nullptr, kOdd, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  auto* const room = static_cast<uint8_t*>(mmap(
      nullptr, kOdd + 16384, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  uint8_t* const anonymous = room + 8192;
  ASSERT_EQ(mprotect(anonymous, kOdd, PROT_READ | PROT_WRITE), 0);
  ASSERT_OK_AND_ASSIGN(const auto sources, OpenRam(Me(), {kOdd}));
  ASSERT_THAT(sources, SizeIs(2));
  std::vector<MappedRam> blocks;
  for (const RamSource& source : sources) {
    blocks.push_back({source.mapped, source.inode});
  }
  const size_t by_file = sources[0].way == RamSource::Way::kFile ? 0 : 1;
  EXPECT_EQ(*FirstUnmapped(Me(), blocks), std::nullopt);
  // In two pieces, but all there.
  ASSERT_EQ(mprotect(anonymous, 4096, PROT_READ), 0);
  EXPECT_EQ(*FirstUnmapped(Me(), blocks), std::nullopt);
  // A hole of one page.
  munmap(anonymous + kOdd - 8192, 4096);
  EXPECT_EQ(*FirstUnmapped(Me(), blocks), 1 - by_file);
  // Something else in the place of the file.
  mmap(anonymous, kOdd, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
       0);
  EXPECT_EQ(*FirstUnmapped(Me(), blocks), std::nullopt);
  mmap(shared, kOdd, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  EXPECT_EQ(*FirstUnmapped(Me(), blocks), by_file);
  munmap(shared, kOdd);
  munmap(room, kOdd + 16384);
  EXPECT_THAT(FirstUnmapped(Me(), {}).status(), IsOk());
}

// Ended, but not waited for by who started it.
TEST(FirstUnmapped, TakesNoProcessThatIsEndingForOneThatRuns) {
  const pid_t child = fork();
  if (child == 0) {
    _exit(0);
  }
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, child, &info, WEXITED | WNOWAIT), 0);
  const kvm::ProcessId process{static_cast<uint32_t>(child),
                               TicksOf(fmt::format("/proc/{}/stat", child))};
  EXPECT_THAT(FirstUnmapped(process, {}),
              StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_THAT(FirstUnmapped(process, {}),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(OpenRam, TakesNoOtherProcessForTheOneThatEnded) {
  kvm::ProcessId other = Me();
  ++other.start_ticks;
  EXPECT_THAT(OpenRam(other, {kOdd}), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vmattest::memory
