#include "inspection/worker/worker_pool.h"

#include <fcntl.h>

#include <atomic>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"

namespace vmattest::inspection {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

MonotonicTime In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

WorkerCall Soon() {
  WorkerCall call;
  call.deadline = In(std::chrono::seconds(20));
  return call;
}

WorkerPoolOptions Hostile() {
  WorkerPoolOptions options;
  options.program = VMATTEST_HOSTILE_WORKER;
  return options;
}

internal::WorkerRequest Do(const std::string& what) {
  internal::WorkerRequest request;
  request.mutable_parse_header()->set_format(what);
  return request;
}

std::vector<UniqueFd> Image() {
  std::vector<UniqueFd> descriptors;
  descriptors.emplace_back(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  return descriptors;
}

absl::StatusOr<internal::WorkerReply> AskOnce(
    const std::string& what, const WorkerPoolOptions& options = Hostile(),
    const WorkerCall& call = Soon()) {
  WorkerPool pool(options);
  return pool.Run(Do(what), Image(), call);
}

class ExploitedWorker : public ::testing::TestWithParam<const char*> {};

TEST_P(ExploitedWorker, S25_IsKilledBySigsys) {
  EXPECT_THAT(AskOnce(GetParam()),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("hostile_worker died: killed by SIGSYS")));
}

INSTANTIATE_TEST_SUITE_P(WorkerPool, ExploitedWorker,
                         ::testing::Values("open-tpm", "open-state", "socket",
                                           "ptrace", "write-image"));

TEST(WorkerPool, BehavingWorkerAnswers) {
  ASSERT_OK_AND_ASSIGN(const auto reply, AskOnce("raw"));
  EXPECT_EQ(reply.header().format(), "raw");
}

TEST(WorkerPool, CrashIsToldAsASentence) {
  EXPECT_THAT(AskOnce("crash"), StatusIs(absl::StatusCode::kUnavailable,
                                         HasSubstr("killed by SIGABRT")));
  EXPECT_THAT(AskOnce("leave"), StatusIs(absl::StatusCode::kUnavailable,
                                         HasSubstr("exited with status 7")));
}

TEST(WorkerPool, GarbageIsDataLoss) {
  EXPECT_THAT(AskOnce("garbage"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(AskOnce("huge"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(WorkerPool, HangIsADeadline) {
  WorkerCall call;
  call.deadline = In(std::chrono::milliseconds(300));
  EXPECT_THAT(AskOnce("hang", Hostile(), call),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       HasSubstr("took too long")));
}

TEST(WorkerPool, EndlessLoopIsADeadline) {
  WorkerPoolOptions options = Hostile();
  options.cpu_time = std::chrono::seconds(1);
  EXPECT_THAT(AskOnce("spin", options),
              ::testing::AnyOf(
                  StatusIs(absl::StatusCode::kDeadlineExceeded),
                  StatusIs(absl::StatusCode::kUnavailable, HasSubstr("KILL"))));
}

TEST(WorkerPool, ThreadsOfAWorkerMayGiveMemoryBack) {
  EXPECT_THAT(AskOnce("memory-in-threads"), IsOk());
}

TEST(WorkerPool, TooMuchMemoryIsResourceExhausted) {
  EXPECT_THAT(AskOnce("memory"),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(WorkerPool, CancelledCallEndsSoon) {
  WorkerCall call = Soon();
  std::atomic<int> asked = 0;
  call.cancelled = [&asked] { return ++asked > 3; };
  EXPECT_THAT(AskOnce("hang", Hostile(), call),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST(WorkerPool, ProgressComesBeforeTheReply) {
  WorkerCall call = Soon();
  uint64_t bytes = 0;
  call.progress = [&bytes](uint64_t more) { bytes += more; };
  ASSERT_OK_AND_ASSIGN(const auto reply, AskOnce("progress", Hostile(), call));
  EXPECT_EQ(bytes, 30U);
  EXPECT_TRUE(reply.has_header());
}

TEST(WorkerPool, EachTakenWorkerIsANewProcess) {
  WorkerPoolOptions options = Hostile();
  options.spares = 1;
  WorkerPool pool(options);
  std::set<std::string> pids;
  for (int i = 0; i < 5; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto reply,
                         pool.Run(Do("pid"), Image(), Soon()));
    pids.insert(reply.header().format());
  }
  EXPECT_EQ(pids.size(), 5U);
}

TEST(WorkerPool, OneWorkerServesManyRequests) {
  WorkerPool pool(Hostile());
  ASSERT_OK_AND_ASSIGN(auto worker, pool.Take(Soon()));
  ASSERT_OK_AND_ASSIGN(const auto a, worker->Call(Do("pid"), Image(), Soon()));
  ASSERT_OK_AND_ASSIGN(const auto b, worker->Call(Do("pid"), Image(), Soon()));
  EXPECT_EQ(a.header().format(), b.header().format());
}

TEST(WorkerPool, MoreThanTheLimitWaitAndAreRefusedAtTheirDeadline) {
  WorkerPoolOptions options = Hostile();
  options.max_workers = 1;
  options.spares = 1;
  WorkerPool pool(options);
  ASSERT_OK_AND_ASSIGN(auto worker, pool.Take(Soon()));
  WorkerCall call;
  call.deadline = In(std::chrono::milliseconds(50));
  EXPECT_THAT(pool.Take(call), StatusIs(absl::StatusCode::kResourceExhausted));
  std::thread other([&pool] { EXPECT_THAT(pool.Take(Soon()), IsOk()); });
  worker.reset();
  other.join();
}

TEST(WorkerPool, ProgramThatCannotStartIsNamed) {
  WorkerPoolOptions options = Hostile();
  options.program = "/nonexistent/vmattest-worker";
  EXPECT_THAT(AskOnce("raw", options), StatusIs(absl::StatusCode::kNotFound,
                                                HasSubstr("/nonexistent/")));
}

TEST(WorkerPool, UnknownUserIsNamed) {
  WorkerPoolOptions options = Hostile();
  options.user = "no-such-user-here";
  EXPECT_THAT(
      AskOnce("raw", options),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-user-here")));
}

TEST(WorkerPool, StopFreesWhoeverWaits) {
  WorkerPoolOptions options = Hostile();
  options.max_workers = 1;
  WorkerPool pool(options);
  std::atomic<bool> begun = false;
  std::thread caller([&] {
    ASSERT_OK_AND_ASSIGN(auto worker, pool.Take(Soon()));
    begun = true;
    EXPECT_THAT(worker->Call(Do("hang"), Image(), Soon()),
                StatusIs(absl::StatusCode::kUnavailable));
  });
  while (!begun) {
    std::this_thread::yield();
  }
  std::thread waiter([&] {
    EXPECT_THAT(pool.Take(Soon()), StatusIs(absl::StatusCode::kUnavailable));
  });
  pool.Stop();
  caller.join();
  waiter.join();
}

}  // namespace
}  // namespace vmattest::inspection
