#include "ipc/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/channel.h"
#include "support/matchers.h"

namespace vmattest::ipc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

constexpr size_t kMax = 1 << 20;
constexpr std::chrono::seconds kLong{20};

MonotonicTime Soon() { return std::chrono::steady_clock::now() + kLong; }

ChildOptions Probe(std::vector<std::string> words) {
  ChildOptions options;
  options.program = VMATTEST_IPC_PROBE;
  options.arguments = {"probe"};
  options.arguments.insert(options.arguments.end(), words.begin(), words.end());
  return options;
}

std::string Told(ChildProcess::Spawned& child) {
  Channel channel(std::move(child.channel), kMax);
  const auto message = channel.Receive(Soon());
  return message.ok() ? std::string(AsText(message->bytes))
                      : message.status().ToString();
}

std::string EndOf(const ChildOptions& options) {
  auto child = ChildProcess::Spawn(options);
  if (!child.ok()) {
    return child.status().ToString();
  }
  auto end = child->process.Wait(Soon());
  return end.ok() ? *end : end.status().ToString();
}

TEST(ChildProcess, InheritsOneChannelAndNothingElse) {
  const UniqueFd secret(open("/etc/passwd", O_RDONLY));  // no close-on-exec
  ASSERT_TRUE(secret.valid());
  ChildOptions options = Probe({"report"});
  options.environment = {"GIVEN=1"};
  ASSERT_OK_AND_ASSIGN(auto child, ChildProcess::Spawn(options));
  const std::string report = Told(child);
  EXPECT_THAT(report, HasSubstr("fd 0\nfd 1\nfd 2\nfd 3\nenv GIVEN=1\nlimit"));
}

TEST(ChildProcess, CannotGainPrivilegesNorOutliveItsParent) {
  ASSERT_OK_AND_ASSIGN(auto child, ChildProcess::Spawn(Probe({"report"})));
  const std::string report = Told(child);
  EXPECT_THAT(report, HasSubstr("no_new_privs 1\n"));
  EXPECT_THAT(report, HasSubstr("death 9\n"));
  EXPECT_THAT(report, HasSubstr("limit core 0\n"));
}

TEST(ChildProcess, HasTheLimitsThatItWasGiven) {
  ChildOptions options = Probe({"report"});
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  options.address_space = 512U << 20;
#endif
  options.cpu_time = std::chrono::seconds(7);
  options.open_files = 16;
  options.no_files = true;
  ASSERT_OK_AND_ASSIGN(auto child, ChildProcess::Spawn(options));
  const std::string report = Told(child);
  if (options.address_space) {
    EXPECT_THAT(report, HasSubstr("limit as 536870912\n"));
  }
  EXPECT_THAT(report, HasSubstr("limit cpu 7\n"));
  EXPECT_THAT(report, HasSubstr("limit nofile 16\n"));
  EXPECT_THAT(report, HasSubstr("limit fsize 0\n"));
}

TEST(ChildProcess, StartsWithDefaultSignals) {
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &term, nullptr), 0);
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  auto child = ChildProcess::Spawn(Probe({"report"}));
  ASSERT_EQ(pthread_sigmask(SIG_UNBLOCK, &term, nullptr), 0);
  struct sigaction ours {};
  ASSERT_EQ(sigaction(SIGPIPE, nullptr, &ours), 0);
  EXPECT_EQ(ours.sa_handler, SIG_IGN);  // the child's reset was its own
  (void)std::signal(SIGPIPE, before);
  ASSERT_THAT(child, IsOk());
  const std::string report = Told(*child);
  EXPECT_THAT(report, HasSubstr("sigterm blocked 0\n"));
  EXPECT_THAT(report, HasSubstr("sigpipe default true\n"));
}

TEST(ChildProcess, BecomesAnotherUserWithoutItsGroups) {
  ASSERT_OK_AND_ASSIGN(const Identity nobody, FindUser("nobody"));
  ChildOptions options = Probe({"report"});
  options.run_as = nobody;
  auto child = ChildProcess::Spawn(options);
  if (geteuid() != 0) {
    EXPECT_THAT(child, StatusIs(absl::StatusCode::kPermissionDenied,
                                HasSubstr("becoming another user")));
    return;
  }
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(Told(*child), HasSubstr("uid 65534 gid 65534 groups 0\n"));
  EXPECT_EQ(geteuid(), 0U);  // only the child
}

TEST(ChildProcess, S25_RenouncesCapabilitiesEvenAsRoot) {
  ASSERT_OK_AND_ASSIGN(auto child,
                       ChildProcess::Spawn(Probe({"capabilities"})));
  EXPECT_EQ(Told(child), "0 0");
}

TEST(ChildProcess, UnknownUserIsNotFound) {
  EXPECT_THAT(FindUser("no-such-user-here"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such")));
}

TEST(ChildProcess, MissingProgramIsAnErrorThatNamesIt) {
  ChildOptions options = Probe({});
  options.program = "/nonexistent/vmattest-x";
  EXPECT_THAT(ChildProcess::Spawn(options),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("/nonexistent/vmattest-x: starting it")));
}

TEST(ChildProcess, EndIsToldAsASentence) {
  EXPECT_EQ(EndOf(Probe({"exit", "0"})), "exited with status 0");
  EXPECT_EQ(EndOf(Probe({"exit", "3"})), "exited with status 3");
  EXPECT_EQ(EndOf(Probe({"signal", std::to_string(SIGSEGV)})),
            "killed by SIGSEGV: a crash");
  EXPECT_EQ(EndOf(Probe({"signal", std::to_string(SIGTERM)})),
            "killed by SIGTERM");
}

TEST(ChildProcess, IsKilledPastItsProcessorTime) {
  ChildOptions options = Probe({"spin"});
  options.cpu_time = std::chrono::seconds(1);
  EXPECT_THAT(EndOf(options),
              ::testing::AnyOf(HasSubstr("SIGXCPU"), HasSubstr("SIGKILL")));
}

TEST(ChildProcess, WaitKeepsItsDeadlineAndKillEndsIt) {
  ASSERT_OK_AND_ASSIGN(auto child, ChildProcess::Spawn(Probe({"wait"})));
  EXPECT_THAT(child.process.Wait(std::chrono::steady_clock::now() +
                                 std::chrono::milliseconds(10)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  child.process.Kill();
  ASSERT_OK_AND_ASSIGN(const std::string end, child.process.Wait(Soon()));
  EXPECT_EQ(end, "killed by SIGKILL");
  child.process.Kill();  // harmless
  EXPECT_THAT(child.process.Wait(Soon()), IsOk());
}

TEST(ChildProcess, DiesWithTheThreadThatSpawnedIt) {
  std::optional<absl::StatusOr<ChildProcess::Spawned>> spawned;
  std::thread([&spawned] {
    spawned.emplace(ChildProcess::Spawn(Probe({"wait"})));
  }).join();
  auto& child = *spawned;
  ASSERT_THAT(child, IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string end, child->process.Wait(Soon()));
  EXPECT_EQ(end, "killed by SIGKILL");
}

TEST(ChildProcess, DestructorLeavesNoProcess) {
  pid_t pid = -1;
  {
    ASSERT_OK_AND_ASSIGN(auto child, ChildProcess::Spawn(Probe({"wait"})));
    pid = child.process.pid();
    ASSERT_EQ(kill(pid, 0), 0);
  }
  EXPECT_NE(kill(pid, 0), 0);  // not even a zombie
}

TEST(ChildProcess, ItsGroupEndsWithIt) {
  ChildOptions options = Probe({"leave-child"});
  options.own_group = true;
  ASSERT_OK_AND_ASSIGN(auto child, ChildProcess::Spawn(options));
  EXPECT_EQ(getpgid(child.process.pid()), child.process.pid());
  const pid_t orphan = std::stoi(Told(child));
  EXPECT_EQ(*child.process.Wait(Soon()), "exited with status 0");
  EXPECT_NE(kill(orphan, 0), 0);
}

TEST(ChildProcess, SpawnsFromManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&good] {
      for (int j = 0; j < 10; ++j) {
        good += EndOf(Probe({"exit", "5"})) == "exited with status 5";
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(good, 40);
}

}  // namespace
}  // namespace vmattest::ipc
