#ifndef VMATTEST_ATTESTOR_LIFECYCLE_H_
#define VMATTEST_ATTESTOR_LIFECYCLE_H_

#include "attestor/event_hub.h"
#include "base/clock.h"
#include "base/executor.h"
#include "hypervisor/hypervisor.h"
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
// Observer methods come from the `virt-event` thread and only enqueue; the
// work runs on `work`, one event of a VM after the other, in order.
class Lifecycle final : public hypervisor::HypervisorObserver {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    measurement::DomainMeasurer& measurer;
    inventory::VmStore& store;
    EventHub& events;
    Executor& work;
    const Clock& clock;
  };
  struct Options {
    HashAlgorithm algorithm = HashAlgorithm::kSha256;
    measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
    size_t event_history = 100'000;
    // Told when the connection comes and goes.
    std::function<void(const absl::Status&)> on_state;
  };
  Lifecycle(Parts parts, Options options);
  ~Lifecycle() override;

  void OnConnected() override;
  void OnDisconnected(const absl::Status& why) override;
  void OnLifecycle(const hypervisor::LifecycleEvent& event) override;

  // Blocks until done. UNAVAILABLE: no hypervisor.
  absl::StatusOr<ReconcileResult> Reconcile();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_LIFECYCLE_H_
