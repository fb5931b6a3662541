#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

#include "base/handles.h"
#include "fakes/inline_executor.h"
#include "fakes/manual_clock.h"
#include "ops/counted_executor.h"
#include "ops/health.h"
#include "ops/service_manager.h"
#include "ops/watchdog.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::InlineExecutor;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::ManualClock;
using ::testing::Not;
using testing::StatusIs;

TEST(Health, ComponentThatNeverReportedIsUnavailable) {
  const ManualClock clock;
  EXPECT_THAT(Health(clock).Get("tpm"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("tpm")));
}

TEST(Health, ListenerHearsChangesOnly) {
  ManualClock clock;
  Health health(clock);
  std::vector<std::string> heard;
  health.OnChange([&](std::string_view component, const absl::Status& status) {
    heard.push_back(std::string(component) + "=" + status.ToString());
  });
  health.Set("tpm", absl::OkStatus());
  const WallTime first = health.All().at("tpm").since;
  clock.Advance(std::chrono::seconds(5));
  health.Set("tpm", absl::OkStatus());
  EXPECT_EQ(health.All().at("tpm").since, first);
  health.Set("tpm", absl::UnavailableError("gone"));
  EXPECT_GT(health.All().at("tpm").since, first);
  EXPECT_THAT(heard, ElementsAre("tpm=OK", "tpm=UNAVAILABLE: gone"));
}

class CountingManager final : public ServiceManager {
 public:
  void KickWatchdog() const override { ++kicks; }
  mutable int kicks = 0;
};

// Holds tasks until told to run them.
class HeldExecutor final : public Executor {
 public:
  absl::Status Submit(std::function<void()> task) override {
    if (full) {
      return absl::ResourceExhaustedError("full");
    }
    tasks.push_back(std::move(task));
    return absl::OkStatus();
  }
  void RunAll() {
    std::vector<std::function<void()>> taken;
    taken.swap(tasks);
    for (const auto& task : taken) {
      task();
    }
  }
  std::vector<std::function<void()>> tasks;
  bool full = false;
};

TEST(Watchdog, KicksWhileEveryExecutorAnswers) {
  const CountingManager manager;
  InlineExecutor a;
  InlineExecutor b;
  Watchdog watchdog(manager, {{"a", &a, {}}, {"b", &b, {}}});
  EXPECT_THAT(watchdog.Tick(), ElementsAre("a", "b"));  // asked just now
  EXPECT_THAT(watchdog.Tick(), IsEmpty());
  EXPECT_THAT(watchdog.Tick(), IsEmpty());
  EXPECT_EQ(manager.kicks, 2);
}

TEST(Watchdog, OneStuckExecutorStopsTheKicks) {
  const CountingManager manager;
  InlineExecutor good;
  HeldExecutor stuck;
  Watchdog watchdog(manager, {{"good", &good, {}}, {"stuck", &stuck, {}}});
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(watchdog.Tick(), ::testing::Contains("stuck"));
  }
  EXPECT_EQ(manager.kicks, 0);
  EXPECT_EQ(stuck.tasks.size(), 1u);  // pings do not pile up
  stuck.RunAll();
  EXPECT_THAT(watchdog.Tick(), IsEmpty());
  EXPECT_EQ(manager.kicks, 1);
}

TEST(Watchdog, BusyExecutorIsAliveWhileItsProgressGrows) {
  const CountingManager manager;
  HeldExecutor busy;
  uint64_t bytes = 0;
  Watchdog watchdog(manager, {{"busy", &busy, [&bytes] { return bytes; }}});
  for (int i = 0; i < 3; ++i) {
    ++bytes;
    EXPECT_THAT(watchdog.Tick(), IsEmpty());
  }
  EXPECT_THAT(watchdog.Tick(), ElementsAre("busy"));
  EXPECT_EQ(manager.kicks, 3);
}

TEST(Watchdog, FullQueueIsNoAnswer) {
  const CountingManager manager;
  HeldExecutor full;
  full.full = true;
  Watchdog watchdog(manager, {{"full", &full, {}}});
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(watchdog.Tick(), ElementsAre("full"));
  }
  full.full = false;
  watchdog.Tick();
  full.RunAll();
  EXPECT_THAT(watchdog.Tick(), IsEmpty());
}

TEST(CountedExecutor, CountsFinishedTasksOnly) {
  HeldExecutor held;
  CountedExecutor counted(held);
  ASSERT_THAT(counted.Submit([] {}), IsOk());
  EXPECT_EQ(counted.finished(), 0u);
  held.RunAll();
  EXPECT_EQ(counted.finished(), 1u);
}

class NotifySocket : public ::testing::Test {
 protected:
  void SetUp() override {
    fd_ = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = dir_.path() / "notify";
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(
        bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)),
        0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
  }
  std::string Receive() {
    char buffer[2048];
    const ssize_t size = recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    return size < 0 ? "" : std::string(buffer, static_cast<size_t>(size));
  }

  testing::TempDir dir_;
  UniqueFd fd_;
};

TEST_F(NotifySocket, ReadyStoppingReloadingAndWatchdogAreSent) {
  const ServiceManager manager;
  manager.Ready("serving\nWATCHDOG=trigger");
  const std::string ready = Receive();
  EXPECT_THAT(ready, HasSubstr("READY=1\nSTATUS=serving WATCHDOG=trigger"));
  EXPECT_THAT(ready, Not(HasSubstr("\nWATCHDOG=")));
  manager.Reloading();
  EXPECT_THAT(Receive(), HasSubstr("RELOADING=1\nMONOTONIC_USEC="));
  manager.KickWatchdog();
  EXPECT_EQ(Receive(), "WATCHDOG=1");
  manager.Stopping();
  EXPECT_EQ(Receive(), "STOPPING=1");
}

TEST_F(NotifySocket, PeriodIsWhatTheManagerSaysToThisProcess) {
  EXPECT_EQ(ServiceManager().watchdog_period(), std::nullopt);
  setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(ServiceManager().watchdog_period(), std::chrono::seconds(30));
}

}  // namespace
}  // namespace vmattest::ops
