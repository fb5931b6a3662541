#ifndef VMATTEST_BASE_EXECUTOR_H_
#define VMATTEST_BASE_EXECUTOR_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"

namespace vmattest {

// Runs tasks somewhere else. Callable from any thread.
class Executor {
 public:
  virtual ~Executor() = default;
  // RESOURCE_EXHAUSTED: the queue is full, the task was dropped.
  // UNAVAILABLE: shutting down, the task was dropped.
  [[nodiscard]] virtual absl::Status Submit(std::function<void()> task) = 0;
};

// A fixed number of named threads over one bounded queue. Names are cut to 15
// characters by the kernel; docs/threads.md lists them all.
class ThreadPool final : public Executor {
 public:
  ThreadPool(std::string name, size_t threads, size_t max_queued);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  // Runs what is queued, then joins.
  ~ThreadPool() override;

  [[nodiscard]] absl::Status Submit(std::function<void()> task) override;
  // Refuses new tasks, runs what is queued, joins. Idempotent. Not callable
  // from one of the pool's own threads.
  void Shutdown();

 private:
  void Run();

  const std::string name_;
  const size_t max_queued_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace vmattest

#endif  // VMATTEST_BASE_EXECUTOR_H_
