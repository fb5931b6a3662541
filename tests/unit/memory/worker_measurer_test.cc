// Workers that are kept between measurements, of a process that has memory as a
// guest's QEMU does.

#include "memory/worker/worker_measurer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "fakes/fake_hypervisor.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "inspection/worker/worker_pool.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::memory {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeHypervisor;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kDimmAt = uint64_t{1} << 32;

struct FileCloser {
  void operator()(FILE* file) const noexcept { fclose(file); }
};
using File = std::unique_ptr<FILE, FileCloser>;

// The process, with 4 MiB at 0 and 3 MiB at kDimmAt.
class StandIn {
 public:
  explicit StandIn(const Uuid& uuid) {
    int in[2];
    int out[2];
    EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    const std::string id = ToString(uuid);
    const std::string dimm = fmt::format("{}@{}", 3 * kMiB, kDimmAt);
    const std::string boot = fmt::format("{}@0", 4 * kMiB);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      close_range(3, ~0u, 0);  // so that its blocks are 3 and 4
      execl(VMATTEST_STAND_IN_GUEST, VMATTEST_STAND_IN_GUEST, "-uuid",
            id.c_str(), boot.c_str(), dimm.c_str(), nullptr);
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    to_.reset(fdopen(in[1], "w"));
    from_.reset(fdopen(out[0], "r"));
    EXPECT_EQ(Line(), "ready\n");
  }
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;
  ~StandIn() { End(); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  void Drop(int block) {
    fmt::print(to_.get(), "drop {}\n", block);
    fflush(to_.get());
    EXPECT_EQ(Line(), "dropped\n");
  }
  void End() {
    if (pid_ > 0) {
      to_.reset();
      waitpid(pid_, nullptr, 0);
      pid_ = 0;
    }
  }
  [[nodiscard]] ino_t InodeOf(int block) const {
    struct stat info {};
    EXPECT_EQ(stat(PathOf(block).c_str(), &info), 0);
    return info.st_ino;
  }
  // One of its two files.
  [[nodiscard]] UniqueFd OpenBlock(int block) const {
    return UniqueFd(open(PathOf(block).c_str(), O_RDWR));
  }

 private:
  [[nodiscard]] std::string PathOf(int block) const {
    return fmt::format("/proc/{}/fd/{}", pid_, 3 + block);
  }
  std::string Line() {
    char line[64] = "";
    (void)fgets(line, sizeof line, from_.get());
    return line;
  }

  pid_t pid_ = 0;
  File to_, from_;
};

// Another process, not of ours, that has a file mapped and no longer open, as
// vhost-user's programs do. Until it is destroyed.
class Mapper {
 public:
  explicit Mapper(const UniqueFd& file) {
    int told[2];
    EXPECT_EQ(pipe2(told, O_CLOEXEC), 0);
    const pid_t between = fork();
    if (between == 0) {
      pid_ = fork();
      if (pid_ == 0) {
        void* const memory = mmap(nullptr, kMiB, PROT_READ | PROT_WRITE,
                                  MAP_SHARED, file.get(), kMiB);
        close(file.get());
        const pid_t me = memory == MAP_FAILED ? 0 : getpid();
        (void)!write(told[1], &me, sizeof me);
        while (true) {
          pause();
        }
      }
      _exit(0);
    }
    waitpid(between, nullptr, 0);
    EXPECT_EQ(read(told[0], &pid_, sizeof pid_),
              static_cast<ssize_t>(sizeof pid_));
    EXPECT_GT(pid_, 0);
    close(told[0]);
    close(told[1]);
  }
  Mapper(const Mapper&) = delete;
  Mapper& operator=(const Mapper&) = delete;
  ~Mapper() {
    kill(pid_, SIGKILL);
    // Somebody else waits for it.
    while (access(fmt::format("/proc/{}/fd/0", pid_).c_str(), F_OK) == 0) {
      (void)poll(nullptr, 0, 1);
    }
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

// How many processes have a stand-in's file mapped.
int CountMappers(ino_t inode) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "maps");
    std::ostringstream text;
    text << file.rdbuf();  // nothing, once it ended
    const auto mappings = ParseMappings(text.str());
    count += std::any_of(mappings.begin(), mappings.end(),
                         [&](const ProcessMapping& mapping) {
                           return mapping.inode == inode &&
                                  mapping.path.rfind("/memfd:stand-in", 0) == 0;
                         })
                 ? 1
                 : 0;
  }
  return count;
}

// A worker that was killed takes a moment.
bool AwaitNoMapper(ino_t inode) {
  for (int i = 0; i < 1000 && CountMappers(inode) != 0; ++i) {
    (void)poll(nullptr, 0, 10);
  }
  return CountMappers(inode) == 0;
}

class WorkerMeasurerTest : public ::testing::Test {
 protected:
  WorkerMeasurerTest()
      : pool_(ForMemory(
            {.program = VMATTEST_MEMORY_WORKER, .user = "", .max_workers = 4},
            512 * kMiB)) {
    hypervisor_.Start(nullptr);
    guest_.name = "web";
    guest_.uuid = hypervisor_.Define(
        "web", FakeHypervisor::Xml("web", FakeHypervisor::UuidOf("web")));
    hypervisor_.Start(guest_.uuid);
    guest_.memory = {.machine = "pc-q35-7.2",
                     .arch = "x86_64",
                     .boot_bytes = 4 * kMiB,
                     .cells = {},
                     .devices = {{"dimm0", "dimm", 3 * kMiB, kDimmAt}},
                     .launch_security = {},
                     .own_arguments = false};
    process_ = std::make_unique<StandIn>(guest_.uuid);
    run_.Write("web.pid", std::to_string(process_->pid()));
  }

  WorkerMeasurer::Options Options() {
    WorkerMeasurer::Options options;
    options.libvirt_run_dir = run_.path();
    return options;
  }
  static MeasureCall Call() {
    return {std::chrono::steady_clock::now() + std::chrono::minutes(1), {}, {}};
  }
  static MeasurePlan All(const MeasuredGuest& guest) {
    MeasurePlan plan;
    plan.regions = {guest.ram(true)};
    plan.incremental = true;
    return plan;
  }
  // Of one measurement, of all that there is.
  struct Measured {
    std::vector<std::string> notes;
    MeasuredRegion region;
  };
  absl::StatusOr<Measured> Measure(WorkerMeasurer& measurer) {
    ASSIGN_OR_RETURN(const auto open, measurer.Open(guest_, Call()));
    EXPECT_EQ(open->reader(), "shared-memory")
        << ::testing::PrintToString(open->notes());
    ASSIGN_OR_RETURN(auto regions, open->Measure(All(*open), Call()));
    return Measured{open->notes(), std::move(regions[0])};
  }

  testing::TempDir run_;
  FakeHypervisor hypervisor_;
  Guest guest_;
  std::unique_ptr<StandIn> process_;
  inspection::WorkerPool pool_;
};

// The kept worker, too, has the memory mapped, and is not named.
TEST_F(WorkerMeasurerTest, S23_NamesWhoMapsTheGuestAtEachMeasurementAnew) {
  WorkerMeasurer measurer(pool_, hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(const Measured first, Measure(measurer));
  EXPECT_THAT(first.notes, IsEmpty());
  {
    const Mapper mapper(process_->OpenBlock(1));
    ASSERT_OK_AND_ASSIGN(const Measured second, Measure(measurer));
    EXPECT_EQ(second.region.unchanged, second.region.pages)
        << "by the worker that was kept";
    EXPECT_THAT(second.notes, ElementsAre(fmt::format("also-mapped: process {}",
                                                      mapper.pid())));
  }
  ASSERT_OK_AND_ASSIGN(const Measured third, Measure(measurer));
  EXPECT_EQ(third.region.unchanged, third.region.pages);
  EXPECT_THAT(third.notes, IsEmpty());
}

// Two policies may be measured at one time.
TEST_F(WorkerMeasurerTest, NamesNoOtherWorkerOfTheSameGuest) {
  WorkerMeasurer measurer(pool_, hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(const auto one, measurer.Open(guest_, Call()));
  ASSERT_THAT(one->Measure(All(*one), Call()), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto other, measurer.Open(guest_, Call()));
  EXPECT_THAT(other->notes(), IsEmpty());
}

TEST_F(WorkerMeasurerTest, GivesBackWhatTheGuestLostOnceItIsTold) {
  WorkerMeasurer measurer(pool_, hypervisor_, Options());
  ASSERT_THAT(Measure(measurer).status(), IsOk());
  const ino_t dimm = process_->InodeOf(1);
  process_->Drop(1);
  EXPECT_EQ(CountMappers(dimm), 1) << "the worker that was kept";
  measurer.Changed(FakeHypervisor::UuidOf("another"));
  EXPECT_EQ(CountMappers(dimm), 1);
  measurer.Changed(guest_.uuid);
  EXPECT_TRUE(AwaitNoMapper(dimm));
  guest_.memory.devices.clear();
  EXPECT_THAT(Measure(measurer).status(), IsOk());
}

TEST_F(WorkerMeasurerTest, GivesBackWhatTheGuestLostAfterWhoMeasuresIt) {
  WorkerMeasurer measurer(pool_, hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest_, Call()));
  ASSERT_THAT(open->Measure(All(*open), Call()), IsOk());
  const ino_t dimm = process_->InodeOf(1);
  process_->Drop(1);
  measurer.Changed(guest_.uuid);
  EXPECT_EQ(CountMappers(dimm), 1);
  open.reset();
  EXPECT_TRUE(AwaitNoMapper(dimm));
}

// All of its memory is a file, which does not end with QEMU.
TEST_F(WorkerMeasurerTest, GivesBackTheMemoryOfAGuestThatEnded) {
  WorkerMeasurer measurer(pool_, hypervisor_, Options());
  guest_.memory.devices.clear();
  ASSERT_THAT(Measure(measurer).status(), IsOk());
  const ino_t ram = process_->InodeOf(0);
  process_->End();
  EXPECT_EQ(CountMappers(ram), 1) << "the worker that was kept";
  measurer.Ended(guest_.uuid);
  EXPECT_TRUE(AwaitNoMapper(ram));
}

TEST_F(WorkerMeasurerTest, GivesAllBackOnceEventsMayHaveBeenLost) {
  WorkerMeasurer measurer(pool_, hypervisor_, Options());
  ASSERT_THAT(Measure(measurer).status(), IsOk());
  const ino_t ram = process_->InodeOf(0);
  process_->End();
  measurer.MissedEvents();
  EXPECT_TRUE(AwaitNoMapper(ram));
}

// Media are changed often, and to hash all anew takes long.
TEST_F(WorkerMeasurerTest, KeepsTheDigestsOfAGuestThatHasNothingToLose) {
  WorkerMeasurer measurer(pool_, hypervisor_, Options());
  guest_.memory.devices.clear();
  ASSERT_THAT(Measure(measurer).status(), IsOk());
  measurer.Changed(guest_.uuid);
  ASSERT_OK_AND_ASSIGN(const Measured again, Measure(measurer));
  EXPECT_EQ(again.region.unchanged, again.region.pages);
}

// By a hypervisor that shows it, page by page.
class PeekedGuestTest : public WorkerMeasurerTest {
 protected:
  PeekedGuestTest() : now_(guest_.memory) {}

  WorkerMeasurer::Options Peeking() {
    WorkerMeasurer::Options options = Options();
    options.only_peek = true;
    options.describe = [this](const Uuid&) { return now_; };
    return options;
  }
  absl::StatusOr<MeasuredRegion> Peek(WorkerMeasurer& measurer) {
    ASSIGN_OR_RETURN(const auto open, measurer.Open(guest_, Call()));
    EXPECT_EQ(open->reader(), "peek");
    ASSIGN_OR_RETURN(auto regions, open->Measure(All(*open), Call()));
    return std::move(regions[0]);
  }

  absl::StatusOr<DomainMemory> now_;  // what its definition says
};

TEST_F(PeekedGuestTest, IsTheSameAsItsOwnMemory) {
  WorkerMeasurer measurer(pool_, hypervisor_, Peeking());
  ASSERT_OK_AND_ASSIGN(const MeasuredRegion peeked, Peek(measurer));
  WorkerMeasurer direct(pool_, hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(const Measured measured, Measure(direct));
  EXPECT_EQ(peeked.digests, measured.region.digests);
  EXPECT_EQ(peeked.unreadable, 0U);
}

// What QEMU shows of it from then on are zeros.
TEST_F(PeekedGuestTest, ThatLosesADimmMeanwhileIsNamedAsTheDirectReaderDoes) {
  WorkerMeasurer measurer(pool_, hypervisor_, Peeking());
  hypervisor_.OnPeek([&](uint64_t address) {
    if (address >= kDimmAt + kMiB) {
      now_->devices.clear();
    }
  });
  EXPECT_THAT(Peek(measurer),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("ram-gone: the VM lost dimm0 meanwhile")));
  process_->Drop(1);
  WorkerMeasurer direct(pool_, hypervisor_, Options());
  guest_.memory = *now_;
  // The next one is without it.
  ASSERT_OK_AND_ASSIGN(const MeasuredRegion left, Peek(measurer));
  ASSERT_OK_AND_ASSIGN(const Measured measured, Measure(direct));
  EXPECT_EQ(left.digests, measured.region.digests);
}

// libvirt takes a moment to say what QEMU did.
TEST_F(PeekedGuestTest, ThatLostADimmJustBeforeTheEndIsNamed) {
  WorkerMeasurer::Options options = Peeking();
  auto gone = std::chrono::steady_clock::time_point::max();
  options.describe = [&](const Uuid&) -> absl::StatusOr<DomainMemory> {
    DomainMemory memory = guest_.memory;
    if (std::chrono::steady_clock::now() >= gone) {
      memory.devices.clear();
    }
    return memory;
  };
  WorkerMeasurer measurer(pool_, hypervisor_, options);
  hypervisor_.OnPeek([&](uint64_t) {
    gone = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  });
  EXPECT_THAT(Peek(measurer),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ram-gone")));
}

// What there was no time to ask about is not said to be there.
TEST_F(PeekedGuestTest,
       WhoseTimeIsOverBeforeItsDefinitionIsAskedIsNotMeasured) {
  WorkerMeasurer measurer(pool_, hypervisor_, Peeking());
  ASSERT_OK_AND_ASSIGN(const auto open, measurer.Open(guest_, Call()));
  MeasureCall call = Call();
  hypervisor_.OnPeek([&](uint64_t address) {
    if (address >= kDimmAt) {
      call.deadline =
          std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
    }
  });
  EXPECT_THAT(open->Measure(All(*open), call).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(PeekedGuestTest, ThatHasAnotherDimmInItsPlaceIsNamed) {
  WorkerMeasurer measurer(pool_, hypervisor_, Peeking());
  now_->devices[0].alias = "dimm1";
  EXPECT_THAT(Peek(measurer),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("ram-gone: the VM lost dimm0")));
}

TEST_F(PeekedGuestTest, ThatEndsMeanwhileIsNamedAsGone) {
  WorkerMeasurer measurer(pool_, hypervisor_, Peeking());
  hypervisor_.OnPeek([&](uint64_t) {
    now_ = absl::NotFoundError("it does not run");
    hypervisor_.Stop(guest_.uuid);
  });
  EXPECT_THAT(Peek(measurer), StatusIs(absl::StatusCode::kUnavailable,
                                       HasSubstr("guest-gone")));
}

TEST_F(PeekedGuestTest, IsNotReadIfNobodySaysWhetherItsDimmsStay) {
  WorkerMeasurer::Options options = Peeking();
  options.describe = nullptr;
  WorkerMeasurer measurer(pool_, hypervisor_, options);
  EXPECT_THAT(measurer.Open(guest_, Call()).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  guest_.memory.devices.clear();
  EXPECT_THAT(Peek(measurer).status(), IsOk());
}

}  // namespace
}  // namespace vmattest::memory
