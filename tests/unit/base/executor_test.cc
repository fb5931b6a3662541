#include "base/executor.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>

#include "support/matchers.h"

namespace vmattest {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

// Something that threads wait for.
class Gate {
 public:
  void Open() {
    const MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  void Wait() {
    const MutexLock lock(mutex_);
    while (!open_) {
      changed_.Wait(mutex_);
    }
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = false;
};

TEST(ThreadPool, RunsWhatIsQueuedBeforeItEnds) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool("test", 2, 1000);
    for (int i = 0; i < 500; ++i) {
      ASSERT_THAT(pool.Submit([&ran] { ++ran; }), IsOk());
    }
  }
  EXPECT_EQ(ran, 500);
}

TEST(ThreadPool, RunsTasksOfOneThreadInOrder) {
  std::vector<int> order;
  {
    ThreadPool pool("test", 1, 100);
    for (int i = 0; i < 50; ++i) {
      ASSERT_THAT(pool.Submit([&order, i] { order.push_back(i); }), IsOk());
    }
  }
  ASSERT_EQ(order.size(), 50u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(ThreadPool, AnswersOverflowInsteadOfQueueing) {
  Gate started;
  Gate finish;
  ThreadPool pool("narrow", 1, 2);
  ASSERT_THAT(pool.Submit([&] {
    started.Open();
    finish.Wait();
  }),
              IsOk());
  started.Wait();
  EXPECT_THAT(pool.Submit([] {}), IsOk());
  EXPECT_THAT(pool.Submit([] {}), IsOk());
  EXPECT_THAT(pool.Submit([] {}), StatusIs(absl::StatusCode::kResourceExhausted,
                                           HasSubstr("narrow")));
  finish.Open();
}

TEST(ThreadPool, RefusesAfterShutdown) {
  ThreadPool pool("test", 1, 10);
  pool.Shutdown();
  EXPECT_THAT(pool.Submit([] {}), StatusIs(absl::StatusCode::kUnavailable));
  pool.Shutdown();
}

TEST(ThreadPool, RunsAsManyTasksAtOnceAsItHasThreads) {
  Gate both[2];
  ThreadPool pool("test", 2, 10);
  // Each waits for the other: one thread would never finish.
  for (int i = 0; i < 2; ++i) {
    ASSERT_THAT(pool.Submit([&both, i] {
      both[i].Open();
      both[1 - i].Wait();
    }),
                IsOk());
  }
  pool.Shutdown();
}

TEST(ThreadPool, NamesItsThreads) {
  std::string name;
  ThreadPool pool("a-name-that-is-too-long", 1, 10);
  // Named from outside, after the thread began: wait until it is.
  ASSERT_THAT(pool.Submit([&name] {
    char buffer[32] = {};
    do {
      pthread_getname_np(pthread_self(), buffer, sizeof buffer);
      name = buffer;
    } while (name.compare(0, 7, "a-name-") != 0);
  }),
              IsOk());
  pool.Shutdown();
  EXPECT_EQ(name, "a-name-that-is-");
}

}  // namespace
}  // namespace vmattest
