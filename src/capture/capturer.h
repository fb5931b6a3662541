#ifndef VMATTEST_CAPTURE_CAPTURER_H_
#define VMATTEST_CAPTURE_CAPTURER_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "attestor/statement_sealer.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "capture/measure_state.h"
#include "capture/snapshot_store.h"
#include "signing/signer.h"
#include "snapshot/policy.h"

namespace vmattest::capture {

// The cause of a snapshot that nobody asked for.
inline constexpr std::string_view kScheduled = "schedule";
// Of one that the VM itself asked for.
inline constexpr std::string_view kGuest = "guest";

struct CaptureRequest {
  std::string vm;      // UUID or name
  std::string policy;  // "ID" or "ID@VERSION"
  Bytes nonce;         // empty, or 16 to 64 bytes
  // A guest's, for the verifier; nobody looks into it here. May be empty.
  Bytes guest_report;
  std::string cause = "request";
  MonotonicTime deadline;  // always set
  std::function<bool()> cancelled;
  std::function<void(const CaptureProgress&)> progress;
};

struct CapturedSnapshot {
  SnapshotRecord record;
  Bytes evidence;  // a serialised Evidence
  Bytes guest_report;
};

// The use-cases behind the Memory service: ports only. Any thread.
//
//   Capture -> TPM clock -> [snapshots] measure -> seal (signer)
//                                done <- [snapshots] keep <-+
//
// The order is that of configurations (rule S8): the clock is read before the
// first byte. One capture of a VM at a time; the next waits, without a thread.
class Capturer {
 public:
  struct Parts {
    StateParts state;
    signing::Signer& signer;
    attestor::StatementSealer& statements;
    SnapshotStore& store;
    Executor& work;  // where measuring blocks
    const Clock& clock;
    // Told of each that was kept; must not block. May be empty.
    std::function<void(const CapturedSnapshot&, const snapshot::Policy&)>
        captured;
  };
  Capturer(Parts parts, std::vector<snapshot::Policy> policies)
      : parts_(std::move(parts)), policies_(std::move(policies)) {}
  Capturer(const Capturer&) = delete;
  Capturer& operator=(const Capturer&) = delete;
  // Waits until nothing is under way: the signer must answer.
  ~Capturer();

  // Answers once; never blocks. NOT_FOUND: no such VM or policy.
  // RESOURCE_EXHAUSTED: too many wait. Else as MeasureState() and Signer::Seal.
  using Done = std::function<void(absl::StatusOr<CapturedSnapshot>)>;
  void Capture(CaptureRequest request, Done done) EXCLUDES_LOCK(mutex_);

  // Block on libvirt or the disk.
  absl::StatusOr<hypervisor::Domain> FindVm(const std::string& vm);
  // What `policy` would select of a VM; blocks for a second or two. Errors as
  // EstimateState().
  absl::StatusOr<StateEstimate> Estimate(const hypervisor::Domain& domain,
                                         const snapshot::Policy& policy,
                                         MonotonicTime deadline);
  SnapshotStore& store() { return parts_.store; }

  [[nodiscard]] const std::vector<snapshot::Policy>& policies() const {
    return policies_;
  }
  // NOT_FOUND: this host has no such policy, or another version.
  [[nodiscard]] absl::StatusOr<const snapshot::Policy*> FindPolicy(
      const std::string& name) const;

  struct Counters {
    uint64_t captured = 0;
    uint64_t failed = 0;
    uint64_t pages = 0;
    uint64_t pause_us = 0;
  };
  [[nodiscard]] Counters counters() const EXCLUDES_LOCK(mutex_);

 private:
  struct Work;
  using WorkPtr = std::shared_ptr<Work>;
  void Begin(const WorkPtr& work);
  void Measure(const WorkPtr& work);
  void Seal(const WorkPtr& work);
  void Keep(const WorkPtr& work, attestor::SealedStatement sealed);
  void Then(const WorkPtr& work, std::function<void()> step);
  WorkPtr PassOn(const Work& work) EXCLUDES_LOCK(mutex_);
  void Finish(const WorkPtr& work, absl::StatusOr<CapturedSnapshot> result)
      EXCLUDES_LOCK(mutex_);

  Parts parts_;
  const std::vector<snapshot::Policy> policies_;
  mutable Mutex mutex_;
  CondVar changed_;
  size_t pending_ GUARDED_BY(mutex_) = 0;
  std::vector<Uuid> busy_ GUARDED_BY(mutex_);
  // For a VM that is busy; first come, first served.
  std::deque<WorkPtr> waiting_ GUARDED_BY(mutex_);
  Counters counters_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_CAPTURER_H_
