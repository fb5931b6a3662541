#ifndef VMATTEST_TESTS_FAKES_RECORDING_OBSERVER_H_
#define VMATTEST_TESTS_FAKES_RECORDING_OBSERVER_H_

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "hypervisor/hypervisor.h"

namespace vmattest::testing {

// Writes down what a hypervisor tells and lets a test wait for it. Callable
// from any thread.
class RecordingObserver final : public hypervisor::HypervisorObserver {
 public:
  void OnConnected() override { Add("connected"); }
  void OnDisconnected(const absl::Status& why) override {
    {
      const MutexLock lock(mutex_);
      why_ = why;
    }
    Add("disconnected");
  }
  void OnLifecycle(const hypervisor::LifecycleEvent& event) override {
    Add(event.name + " " + std::string(hypervisor::ToString(event.kind)));
  }
  void OnChange(const Uuid& uuid) override { Add("changed " + ToString(uuid)); }
  void OnReset(const Uuid& uuid) override { Add("reset " + ToString(uuid)); }

  // False if `line` was not told `count` times within 20 seconds.
  bool WaitFor(const std::string& line, ptrdiff_t count = 1) {
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    const MutexLock lock(mutex_);
    while (std::count(lines_.begin(), lines_.end(), line) < count) {
      if (!changed_.WaitUntil(mutex_, end)) {
        return false;
      }
    }
    return true;
  }
  // What was told of the domain `name`, in order.
  std::vector<std::string> Of(const std::string& name) const {
    const MutexLock lock(mutex_);
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (line.rfind(name + " ", 0) == 0) {
        found.push_back(line.substr(name.size() + 1));
      }
    }
    return found;
  }
  std::vector<std::string> lines() const {
    const MutexLock lock(mutex_);
    return lines_;
  }
  absl::Status why() const {
    const MutexLock lock(mutex_);
    return why_;
  }

 private:
  void Add(std::string line) {
    const MutexLock lock(mutex_);
    lines_.push_back(std::move(line));
    changed_.NotifyAll();
  }

  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
  absl::Status why_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_RECORDING_OBSERVER_H_
