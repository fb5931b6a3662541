#ifndef VMATTEST_BASE_MUTEX_H_
#define VMATTEST_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

// Clang's thread-safety analysis needs a mutex type that says it is one
// (docs/adr: own mutex wrapper). Under g++ the annotations are nothing.
#if defined(__clang__)
#define VMATTEST_THREAD_(x) __attribute__((x))
#else
#define VMATTEST_THREAD_(x)
#endif
#ifndef GUARDED_BY  // abseil's private headers define the same
#define GUARDED_BY(m) VMATTEST_THREAD_(guarded_by(m))
#endif
#define REQUIRES_LOCK(m) VMATTEST_THREAD_(requires_capability(m))
#define EXCLUDES_LOCK(m) VMATTEST_THREAD_(locks_excluded(m))

namespace vmattest {

class VMATTEST_THREAD_(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() VMATTEST_THREAD_(acquire_capability()) { mutex_.lock(); }
  void Unlock() VMATTEST_THREAD_(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class VMATTEST_THREAD_(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) VMATTEST_THREAD_(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() VMATTEST_THREAD_(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  // Wakes spuriously, as condition variables do: wait in a loop.
  void Wait(Mutex& mutex) REQUIRES_LOCK(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False if `deadline` passed first.
  bool WaitUntil(Mutex& mutex, std::chrono::steady_clock::time_point deadline)
      REQUIRES_LOCK(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool in_time =
        condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace vmattest

#endif  // VMATTEST_BASE_MUTEX_H_
