#include "base/executor.h"

#include <pthread.h>

#include <utility>

#include "fmt/format.h"

namespace vmattest {

ThreadPool::ThreadPool(std::string name, size_t threads, size_t max_queued)
    : name_(std::move(name)), max_queued_(max_queued) {
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Run(); });
    pthread_setname_np(threads_.back().native_handle(),
                       name_.substr(0, 15).c_str());
  }
}

ThreadPool::~ThreadPool() { Shutdown(); }

absl::Status ThreadPool::Submit(std::function<void()> task) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) {
      return absl::UnavailableError(fmt::format("{} is shutting down", name_));
    }
    if (queue_.size() >= max_queued_) {
      return absl::ResourceExhaustedError(
          fmt::format("{} has {} tasks waiting", name_, queue_.size()));
    }
    queue_.push_back(std::move(task));
  }
  changed_.NotifyOne();
  return absl::OkStatus();
}

void ThreadPool::Shutdown() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) {
      thread.join();
    }
  }
}

void ThreadPool::Run() {
  while (true) {
    std::function<void()> task;
    {
      const MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) {
        changed_.Wait(mutex_);
      }
      if (queue_.empty()) {
        return;
      }
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace vmattest
