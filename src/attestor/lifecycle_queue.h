#ifndef VMATTEST_ATTESTOR_LIFECYCLE_QUEUE_H_
#define VMATTEST_ATTESTOR_LIFECYCLE_QUEUE_H_

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "attestor/lifecycle.h"
#include "attestor/observe.h"
#include "base/mutex.h"

namespace vmattest::attestor {

// What waits for the lifecycle's workers: one line of items per VM, of which
// the first is worked on, and at most one wish to reconcile everything.
class Lifecycle::Queue {
 public:
  Queue(Parts parts, Options options)
      : parts_(parts), options_(std::move(options)) {}
  ~Queue();

  void Connected();
  void Disconnected(const absl::Status& why);
  void Push(const hypervisor::LifecycleEvent& event);
  absl::StatusOr<ReconcileResult> Reconcile();

 private:
  // One pass over all VMs, for whoever waits for it. Guarded by the queue's
  // mutex.
  struct Pass {
    ReconcileResult result;
    size_t pending = 0;
    absl::Status error;
  };
  struct Item {
    std::optional<hypervisor::LifecycleKind> kind;  // none: reconcile
    std::string name;
    std::shared_ptr<Pass> pass;
  };
  struct Line {
    std::deque<Item> items;
    bool scheduled = false;  // in `ready_`, or worked on
  };
  enum class Result : uint8_t { kNothing, kMeasured, kFailed, kUnreachable };

  void Add(const Uuid& uuid, Item item) REQUIRES_LOCK(mutex_);
  void Hire();
  void Work();
  bool WorkOnce();
  void Finish(const Item& item, Result result) REQUIRES_LOCK(mutex_);
  absl::Status StartPass(const std::shared_ptr<Pass>& pass);
  Result Handle(const Uuid& uuid, const Item& item);
  Result HandlePresent(const Item& item, const SeenVm& seen, uint64_t begun);
  Result HandleGone(const Uuid& uuid, const Item& item, uint64_t begun);
  Result Record(Observation observation, Result result);
  void TrimNow();

  const Parts parts_;
  const Options options_;
  std::atomic<bool> stopping_ = false;
  Mutex mutex_;
  CondVar changed_;
  std::map<Uuid, Line> lines_ GUARDED_BY(mutex_);
  std::deque<Uuid> ready_ GUARDED_BY(mutex_);
  bool pass_wanted_ GUARDED_BY(mutex_) = false;
  size_t workers_ GUARDED_BY(mutex_) = 0;
  uint64_t handled_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_LIFECYCLE_QUEUE_H_
