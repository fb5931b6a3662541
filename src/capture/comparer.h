#ifndef VMATTEST_CAPTURE_COMPARER_H_
#define VMATTEST_CAPTURE_COMPARER_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "capture/capturer.h"
#include "capture/reactor.h"
#include "capture/snapshot_store.h"
#include "capture/state_verifier.h"

namespace vmattest::capture {

// What a verdict says for the VM's score.
struct SnapshotResult {
  std::string vm_uuid;
  bool passed = false;
  std::string code;  // of the first failure
  Bytes evidence;
  std::string ear;
};
// None where there was no baseline, and of a pass that somebody asked for: who
// asks must not raise a score.
std::optional<SnapshotResult> ResultOf(const CapturedSnapshot& captured,
                                       const SnapshotVerdict& verdict);

// Has each snapshot compared with its baseline by the verifier, on threads of
// its own: no capture waits for it. What came of it is told, then the reactor
// has it. Any thread.
class Comparer {
 public:
  struct Parts {
    StateVerifier& verifier;
    Reactor& reactor;
    SnapshotStore& store;
    Executor& work;  // where the network blocks
    const Clock& clock;
    // Of all that ResultOf() has; may block on the disk. May be empty.
    std::function<void(const SnapshotResult&)> result;
  };
  explicit Comparer(Parts parts) : parts_(std::move(parts)) {}

  // Never blocks. With too many that wait, and where it waited for longer than
  // kLongestWait, this one is not compared: that is counted, and logged. So a
  // verdict is about what was so just now.
  static constexpr std::chrono::seconds kLongestWait{60};
  void Captured(const CapturedSnapshot& captured,
                const snapshot::Policy& policy);
  // What waits is not compared any more.
  void Stop() { stopping_ = true; }

  struct Counters {
    uint64_t trusted = 0;
    uint64_t refused = 0;
    uint64_t no_baseline = 0;
    uint64_t failed = 0;  // nobody decided
  };
  [[nodiscard]] Counters counters() const {
    return {trusted_, refused_, no_baseline_, failed_};
  }

 private:
  absl::StatusOr<SnapshotVerdict> Compare(const CapturedSnapshot& captured,
                                          MonotonicTime since);
  absl::StatusOr<SnapshotVerdict> Walk(const CapturedSnapshot& captured,
                                       const evidence::SnapshotPages& pages,
                                       uint32_t prefix);
  void Told(const CapturedSnapshot& captured, const snapshot::Policy& policy,
            const absl::StatusOr<SnapshotVerdict>& verdict);

  const Parts parts_;
  std::atomic<uint64_t> trusted_ = 0;
  std::atomic<uint64_t> refused_ = 0;
  std::atomic<uint64_t> no_baseline_ = 0;
  std::atomic<uint64_t> failed_ = 0;
  std::atomic<bool> stopping_ = false;
};

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_COMPARER_H_
