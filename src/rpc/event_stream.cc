#include "rpc/event_stream.h"

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "rpc/conversions.h"
#include "rpc/pumped_stream.h"

namespace vmattest::rpc {
namespace {

using attestor::WatchedEvent;
using inventory::EventRecord;

constexpr size_t kStorePage = 256;

// Fields without a guard belong to the `watch` thread.
class Stream : public PumpedStream<v1::WatchEventsResponse> {
 public:
  Stream(const EventStreamParts& parts, const v1::WatchEventsRequest& request,
         Authority authority)
      : PumpedStream(parts.watch),
        parts_(parts),
        filter_(request.vm()),
        after_(request.after_sequence()),
        authority_(std::move(authority)) {}

 private:
  absl::Status Subscribe() override {
    const std::weak_ptr<PumpedStream> weak = weak_from_this();
    ASSIGN_OR_RETURN(
        subscription_, parts_.events.Subscribe([weak](const WatchedEvent& e) {
          if (const auto self = std::static_pointer_cast<Stream>(weak.lock())) {
            self->Enqueue(e);
          }
        }));
    return absl::OkStatus();
  }
  void Unsubscribe() override { subscription_.reset(); }

  // From publishers, under the hub's lock: queue and return.
  void Enqueue(const WatchedEvent& event) EXCLUDES_LOCK(mutex_) {
    {
      const MutexLock lock(mutex_);
      const bool progress = event.record.sequence == 0;
      if (overflow_ || (progress && live_.size() >= parts_.queue / 2)) {
        return;
      }
      if (live_.size() < parts_.queue) {
        live_.push_back(event);
      } else {
        (catching_up_ ? missed_ : overflow_) = true;
        live_.clear();
      }
    }
    (void)Schedule();
  }

  absl::Status Step(bool sending) override {
    if (sending) {
      return absl::OkStatus();
    }
    if (Overflowed()) {
      return WatcherTooSlow("events", cursor_.value_or(after_));
    }
    if (!cursor_) {
      RETURN_IF_ERROR(FindStart());
      SendMetadata();
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::optional<WatchedEvent> next, Next());
    if (next) {
      Send(ToWire(*next));
    }
    return absl::OkStatus();
  }

  bool Overflowed() EXCLUDES_LOCK(mutex_) {
    const MutexLock lock(mutex_);
    return overflow_;
  }

  // The next event that this watcher may see; none: wait.
  absl::StatusOr<std::optional<WatchedEvent>> Next() {
    while (true) {
      if (!replay_.empty()) {
        EventRecord record = std::move(replay_.front());
        replay_.pop_front();
        if (record.sequence != *cursor_ + 1) {
          return EventsNotKept(*cursor_, record.sequence);
        }
        cursor_ = record.sequence;
        if (Wants(record)) {
          return WatchedEvent{std::move(record), 0, 0};
        }
        continue;
      }
      if (behind_) {
        RETURN_IF_ERROR(ReadStore());
        continue;
      }
      std::optional<WatchedEvent> event = TakeLive();
      if (behind_) {
        continue;
      }
      if (!event) {
        return std::nullopt;
      }
      if (event->record.sequence != 0) {
        if (event->record.sequence <= *cursor_) {
          continue;  // replayed already
        }
        if (event->record.sequence != *cursor_ + 1) {
          FallBehind();  // the store has it and what is before it
          continue;
        }
        cursor_ = event->record.sequence;
      }
      if (Wants(event->record)) {
        return event;
      }
    }
  }

  absl::Status FindStart() {
    ASSIGN_OR_RETURN(const uint64_t last, parts_.store.LastSequence());
    if (after_ > last) {
      return EventsNotKept(after_, last + 1);
    }
    cursor_ = after_ == 0 ? last : after_;
    behind_ = *cursor_ < last;
    return absl::OkStatus();
  }

  absl::Status ReadStore() {
    ASSIGN_OR_RETURN(std::vector<EventRecord> page,
                     parts_.store.Events(*cursor_, kStorePage));
    behind_ = page.size() == kStorePage;
    replay_.assign(std::make_move_iterator(page.begin()),
                   std::make_move_iterator(page.end()));
    return absl::OkStatus();
  }

  void FallBehind() {
    behind_ = true;
    const MutexLock lock(mutex_);
    catching_up_ = true;
  }

  std::optional<WatchedEvent> TakeLive() {
    const MutexLock lock(mutex_);
    behind_ = std::exchange(missed_, false);
    catching_up_ = behind_;
    if (live_.empty() || behind_) {
      return std::nullopt;
    }
    WatchedEvent event = std::move(live_.front());
    live_.pop_front();
    return event;
  }

  [[nodiscard]] bool Wants(const EventRecord& record) const {
    return authority_.AllowsVm(record.uuid) &&
           (filter_.empty() || filter_ == record.name ||
            filter_ == ToString(record.uuid));
  }

  const EventStreamParts parts_;
  const std::string filter_;
  const uint64_t after_;
  const Authority authority_;
  std::unique_ptr<attestor::EventHub::Subscription> subscription_;

  std::optional<uint64_t> cursor_;  // the last sequence dealt with
  bool behind_ = false;             // the store has what live_ has not
  std::deque<EventRecord> replay_;

  Mutex mutex_;
  std::deque<WatchedEvent> live_ GUARDED_BY(mutex_);
  // While the store is read nothing is lost by dropping what is live: missed_
  // makes the watch thread read on. Later that is an overflow.
  bool catching_up_ GUARDED_BY(mutex_) = true;
  bool missed_ GUARDED_BY(mutex_) = false;
  bool overflow_ GUARDED_BY(mutex_) = false;
};

}  // namespace

EventReactor* StartEventStream(const EventStreamParts& parts,
                               const v1::WatchEventsRequest& request,
                               Authority authority) {
  return std::make_shared<Stream>(parts, request, std::move(authority))
      ->Start();
}

}  // namespace vmattest::rpc
