#ifndef VMATTEST_ATTESTOR_EVENT_HUB_H_
#define VMATTEST_ATTESTOR_EVENT_HUB_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "base/mutex.h"
#include "base/status.h"
#include "inventory/vm_store.h"

namespace vmattest::attestor {

// A stored event, or (sequence 0, kind "measuring") progress that is not kept.
struct WatchedEvent {
  inventory::EventRecord record;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

// Receives events; stored ones in the order of their sequence. Called from
// whatever thread publishes: queue and return, do not call the hub.
using EventSink = std::function<void(const WatchedEvent&)>;

// Fans events out to watchers. Callable from any thread.
class EventHub {
 public:
  // Ends its subscription when destroyed; after that the sink is not called.
  class Subscription {
   public:
    Subscription(EventHub& hub, uint64_t id) : hub_(hub), id_(id) {}
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription() { hub_.Remove(id_); }

   private:
    EventHub& hub_;
    uint64_t id_;
  };

  explicit EventHub(size_t max_watchers) : max_watchers_(max_watchers) {}

  // RESOURCE_EXHAUSTED: too many watchers.
  absl::StatusOr<std::unique_ptr<Subscription>> Subscribe(EventSink sink);
  void Publish(const WatchedEvent& event);

 private:
  void Remove(uint64_t id);

  const size_t max_watchers_;
  Mutex mutex_;
  std::map<uint64_t, EventSink> sinks_ GUARDED_BY(mutex_);
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_EVENT_HUB_H_
