#include "rpc/event_stream.h"

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "fmt/format.h"
#include "rpc/conversions.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {
namespace {

using attestor::WatchedEvent;
using inventory::EventRecord;

constexpr size_t kStorePage = 256;

absl::Status TooSlow(uint64_t last) {
  return WithReason(
      absl::ResourceExhaustedError(fmt::format(
          "too slow: events are waiting; resume after sequence {}", last)),
      {"WATCHER_TOO_SLOW", {{"last_sequence", std::to_string(last)}}});
}

absl::Status NotKept(uint64_t after, uint64_t next) {
  return WithReason(
      absl::OutOfRangeError(
          fmt::format("after_sequence: what follows {} is not kept; next is {}",
                      after, next)),
      {"EVENTS_NOT_KEPT", {{"next_sequence", std::to_string(next)}}});
}

// Lives as long as gRPC, the hub or a task on the `watch` thread knows it.
// Fields without a guard belong to the `watch` thread.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(const EventStreamParts& parts, const v1::WatchEventsRequest& request,
         Authority authority)
      : parts_(parts),
        filter_(request.vm()),
        after_(request.after_sequence()),
        authority_(std::move(authority)) {}

  EventReactor* Start() {
    auto* reactor = new Reactor(shared_from_this());
    {
      const MutexLock lock(mutex_);
      reactor_ = reactor;
    }
    const std::weak_ptr<Stream> weak = weak_from_this();
    auto subscription = parts_.events.Subscribe([weak](const WatchedEvent& e) {
      if (const auto self = weak.lock()) {
        self->Enqueue(e);
      }
    });
    if (!subscription.ok()) {
      End(WithReason(subscription.status(), {"TOO_MANY_WATCHERS", {}}));
    } else {
      subscription_ = *std::move(subscription);
      ScheduleOrEnd();
    }
    return reactor;
  }

 private:
  class Reactor final : public EventReactor {
   public:
    explicit Reactor(std::shared_ptr<Stream> stream)
        : stream_(std::move(stream)) {}
    void OnSendInitialMetadataDone(bool ok) override { stream_->Sent(ok); }
    void OnWriteDone(bool ok) override { stream_->Sent(ok); }
    void OnCancel() override {
      stream_->End(absl::CancelledError("the watcher left"));
    }
    // Not under any lock of the hub: publishers never run this.
    void OnDone() override {
      stream_->subscription_.reset();
      delete this;
    }
    v1::WatchEventsResponse message;

   private:
    const std::shared_ptr<Stream> stream_;
  };

  // From publishers, under the hub's lock: queue and return.
  void Enqueue(const WatchedEvent& event) {
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
    // If refused, the server is stopping and ends all streams.
    (void)Schedule();
  }

  // At most one task per stream is queued, so `watch` cannot overflow as long
  // as its queue holds one for each watcher.
  absl::Status Schedule() {
    {
      const MutexLock lock(mutex_);
      if (scheduled_) {
        return absl::OkStatus();
      }
      scheduled_ = true;
    }
    return parts_.watch.Submit([self = shared_from_this()] { self->Pump(); });
  }
  void ScheduleOrEnd() {
    if (const absl::Status queued = Schedule(); !queued.ok()) {
      End(queued);
    }
  }

  // On `watch`: sends one event if the last one is sent.
  void Pump() {
    bool overflow = false;
    {
      const MutexLock lock(mutex_);
      scheduled_ = false;
      if (reactor_ == nullptr || sending_) {
        return;
      }
      overflow = overflow_;
    }
    if (overflow) {
      End(TooSlow(cursor_.value_or(after_)));
    } else if (!cursor_) {
      const absl::Status found = FindStart();
      found.ok() ? SendMetadata() : End(found);
    } else {
      const absl::StatusOr<std::optional<WatchedEvent>> next = Next();
      if (!next.ok()) {
        End(next.status());
      } else if (next->has_value()) {
        Write(**next);
      }
    }
  }

  // The next event that this watcher may see; none: wait.
  absl::StatusOr<std::optional<WatchedEvent>> Next() {
    while (true) {
      if (!replay_.empty()) {
        EventRecord record = std::move(replay_.front());
        replay_.pop_front();
        if (record.sequence != *cursor_ + 1) {
          return NotKept(*cursor_, record.sequence);
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
      return NotKept(after_, last + 1);
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

  // The reactor, which lives until Sent(); null if it is finished.
  Reactor* BeginSend() {
    const MutexLock lock(mutex_);
    sending_ = reactor_ != nullptr;
    return reactor_;
  }

  // Tells the watcher that what happens from now on is seen.
  void SendMetadata() {
    if (Reactor* reactor = BeginSend(); reactor != nullptr) {
      reactor->StartSendInitialMetadata();
    }
  }

  void Write(const WatchedEvent& event) {
    if (Reactor* reactor = BeginSend(); reactor != nullptr) {
      reactor->message = ToWire(event);
      reactor->StartWrite(&reactor->message);
    }
  }

  void Sent(bool ok) {
    std::optional<absl::Status> end;
    {
      const MutexLock lock(mutex_);
      sending_ = false;
      end = ok ? end_ : absl::CancelledError("the watcher left");
    }
    if (end) {
      End(*end);
    } else {
      ScheduleOrEnd();
    }
  }

  // Finishes once; while something is being sent, when that is over.
  void End(const absl::Status& status) {
    Reactor* reactor = nullptr;
    {
      const MutexLock lock(mutex_);
      live_.clear();
      if (sending_) {
        end_ = end_.value_or(status);
        return;
      }
      reactor = std::exchange(reactor_, nullptr);
    }
    if (reactor != nullptr) {
      reactor->Finish(ToGrpc(status));
    }
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
  Reactor* reactor_ GUARDED_BY(mutex_) = nullptr;  // null once finished
  std::deque<WatchedEvent> live_ GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ GUARDED_BY(mutex_);
  // While the store is read nothing is lost by dropping what is live: missed_
  // makes the watch thread read on. Later that is an overflow.
  bool catching_up_ GUARDED_BY(mutex_) = true;
  bool missed_ GUARDED_BY(mutex_) = false;
  bool overflow_ GUARDED_BY(mutex_) = false;
  bool sending_ GUARDED_BY(mutex_) = false;
  bool scheduled_ GUARDED_BY(mutex_) = false;
};

class RefusingReactor final : public EventReactor {
 public:
  explicit RefusingReactor(const absl::Status& status) {
    Finish(ToGrpc(status));
  }
  void OnDone() override { delete this; }
};

}  // namespace

EventReactor* StartEventStream(const EventStreamParts& parts,
                               const v1::WatchEventsRequest& request,
                               Authority authority) {
  return std::make_shared<Stream>(parts, request, std::move(authority))
      ->Start();
}

EventReactor* RefuseEventStream(const absl::Status& status) {
  return new RefusingReactor(status);
}

}  // namespace vmattest::rpc
