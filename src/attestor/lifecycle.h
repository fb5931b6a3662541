#ifndef VMATTEST_ATTESTOR_LIFECYCLE_H_
#define VMATTEST_ATTESTOR_LIFECYCLE_H_

#include <functional>
#include <memory>

#include "attestor/recorder.h"
#include "base/clock.h"
#include "base/executor.h"
#include "hypervisor/hypervisor.h"
#include "inspection/disk_inspector.h"
#include "inventory/vm_store.h"
#include "measurement/domain_measurer.h"

namespace vmattest::attestor {

struct ReconcileResult {
  uint64_t measured = 0;
  uint64_t failed = 0;
};

// Follows the lifecycle of every domain: each time one is defined, started or
// stopped its configuration is measured, recorded and published; and on each
// (re)connection the inventory is compared with what libvirt has, so that
// what happened meanwhile is measured too (cause "reconciled").
//
// A measurement that fails is recorded with its error in place of the root:
// the old root is not shown as the current one. A transient domain that
// stopped is gone and recorded as "undefined"; it cannot be measured any more.
//
// Observer methods only enqueue; the work runs on `work`, one event of a VM
// after the other, in order, at most kWorkers VMs at once. Equal events of a
// VM that wait together are one; a VM with too many waiting is reconciled
// instead. `work` must not be the executor that the measurer hashes on: its
// threads would wait for each other.
class Lifecycle final : public hypervisor::HypervisorObserver {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    measurement::DomainMeasurer& measurer;
    inventory::VmStore& store;
    Recorder& recorder;
    Executor& work;  // room for kWorkers tasks
    const Clock& clock;
  };
  struct Options {
    HashAlgorithm algorithm = HashAlgorithm::kSha256;
    measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
    inspection::InsidePolicy inside = inspection::InsidePolicy::kNone;
    std::function<bool(const Uuid&)> salted;  // as Attestor::Options has it
    size_t event_history = 100'000;
    // Told when the connection comes and goes.
    std::function<void(const absl::Status&)> on_state;
  };
  static constexpr size_t kWorkers = 2;

  Lifecycle(Parts parts, Options options);
  Lifecycle(const Lifecycle&) = delete;
  Lifecycle& operator=(const Lifecycle&) = delete;
  // Drops what waits, waits for what runs. Stop the hypervisor's events first.
  ~Lifecycle() override;

  void OnConnected() override;
  void OnDisconnected(const absl::Status& why) override;
  void OnLifecycle(const hypervisor::LifecycleEvent& event) override;

  // Compares libvirt's domains with the store and measures all of them.
  // Blocks until done, working itself on the caller's thread.
  // UNAVAILABLE: no hypervisor, or it went away meanwhile.
  absl::StatusOr<ReconcileResult> Reconcile();

 private:
  class Queue;
  std::unique_ptr<Queue> queue_;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_LIFECYCLE_H_
