#ifndef VMATTEST_BASE_CURRENT_H_
#define VMATTEST_BASE_CURRENT_H_

#include <memory>
#include <utility>

#include "base/mutex.h"

namespace vmattest {

// A value that many read and somebody replaces as a whole, such as a folder of
// keys that is read again. Callable from any thread.
template <class T>
class Current {
 public:
  explicit Current(T value)
      : value_(std::make_shared<const T>(std::move(value))) {}

  // As of now; whoever holds it goes on with it.
  [[nodiscard]] std::shared_ptr<const T> Get() const EXCLUDES_LOCK(mutex_) {
    const MutexLock lock(mutex_);
    return value_;
  }
  void Set(T value) EXCLUDES_LOCK(mutex_) {
    auto next = std::make_shared<const T>(std::move(value));
    const MutexLock lock(mutex_);
    value_.swap(next);
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const T> value_ GUARDED_BY(mutex_);
};

}  // namespace vmattest

#endif  // VMATTEST_BASE_CURRENT_H_
