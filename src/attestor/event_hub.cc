#include "attestor/event_hub.h"

#include <utility>

#include "fmt/format.h"

namespace vmattest::attestor {

absl::StatusOr<std::unique_ptr<EventHub::Subscription>> EventHub::Subscribe(
    EventSink sink) {
  const MutexLock lock(mutex_);
  if (sinks_.size() >= max_watchers_) {
    return absl::ResourceExhaustedError(
        fmt::format("{} watchers are connected already", sinks_.size()));
  }
  const uint64_t id = next_id_++;
  sinks_.emplace(id, std::move(sink));
  return std::make_unique<Subscription>(*this, id);
}

void EventHub::Publish(const WatchedEvent& event) {
  // Held throughout, so that an ended subscription's sink is not running.
  const MutexLock lock(mutex_);
  for (const auto& [id, sink] : sinks_) {
    sink(event);
  }
}

void EventHub::Remove(uint64_t id) {
  const MutexLock lock(mutex_);
  sinks_.erase(id);
}

}  // namespace vmattest::attestor
