#ifndef VMATTEST_TESTS_FAKES_FAKE_WITNESS_STORE_H_
#define VMATTEST_TESTS_FAKES_FAKE_WITNESS_STORE_H_

#include <map>
#include <string>

#include "base/mutex.h"
#include "tlog/witness.h"

namespace vmattest::testing {

// A witness' memory that a restart forgets. Callable from any thread.
class FakeWitnessStore final : public tlog::WitnessStore {
 public:
  absl::StatusOr<Seen> Find(const std::string& origin) override {
    const MutexLock lock(mutex_);
    return seen_[origin];
  }
  absl::Status Replace(const std::string& origin, const Seen& before,
                       const Seen& after) override {
    const MutexLock lock(mutex_);
    if (!(seen_[origin] == before)) {
      return absl::AbortedError("another checkpoint is there");
    }
    seen_[origin] = after;
    return absl::OkStatus();
  }

 private:
  Mutex mutex_;
  std::map<std::string, Seen> seen_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_WITNESS_STORE_H_
