#include "attestor/lifecycle.h"

#include <utility>

#include "attestor/lifecycle_queue.h"

namespace vmattest::attestor {

Lifecycle::Lifecycle(Parts parts, Options options)
    : queue_(std::make_unique<Queue>(parts, std::move(options))) {}

Lifecycle::~Lifecycle() = default;

void Lifecycle::OnConnected() { queue_->Connected(); }

void Lifecycle::OnDisconnected(const absl::Status& why) {
  queue_->Disconnected(why);
}

void Lifecycle::OnLifecycle(const hypervisor::LifecycleEvent& event) {
  queue_->Push(event);
}

absl::StatusOr<ReconcileResult> Lifecycle::Reconcile() {
  return queue_->Reconcile();
}

}  // namespace vmattest::attestor
