#include "rpc/alert_stream.h"

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "fmt/format.h"
#include "rpc/status/status_mapping.h"
#include "rpc/verifier_conversions.h"

namespace vmattest::rpc {
namespace {

using verification::DecisionEntry;

constexpr size_t kPage = 128;
// So that a watcher with few VMs does not keep the thread from the others.
constexpr int kPagesAtOnce = 8;

absl::Status TooSlow(uint64_t last) {
  return WithReason(
      absl::ResourceExhaustedError(fmt::format(
          "too slow: alerts are waiting; resume after sequence {}", last)),
      {"WATCHER_TOO_SLOW", {{"last_sequence", std::to_string(last)}}});
}

absl::Status NotKept(uint64_t after, uint64_t next) {
  return WithReason(
      absl::OutOfRangeError(
          fmt::format("after_sequence: what follows {} is not kept; next is {}",
                      after, next)),
      {"EVENTS_NOT_KEPT", {{"next_sequence", std::to_string(next)}}});
}

// Lives as long as gRPC, the log or a task on the `watch` thread knows it.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(const VerificationParts& parts, uint64_t after, Authority authority)
      : parts_(parts),
        after_(after),
        may_(MayOf(authority)),
        all_(authority.allows_all_vms()) {}

  AlertReactor* Start() {
    auto* reactor = new Reactor(shared_from_this());
    {
      const MutexLock lock(mutex_);
      reactor_ = reactor;
    }
    const std::weak_ptr<Stream> weak = weak_from_this();
    auto watch = parts_.log.Subscribe([weak] {
      if (const auto self = weak.lock()) {
        // If refused, the server is stopping and ends all streams.
        (void)self->Schedule();
      }
    });
    if (!watch.ok()) {
      End(WithReason(watch.status(), {"TOO_MANY_WATCHERS", {}}));
    } else {
      watch_ = *std::move(watch);
      ScheduleOrEnd();
    }
    return reactor;
  }

 private:
  class Reactor final : public AlertReactor {
   public:
    explicit Reactor(std::shared_ptr<Stream> stream)
        : stream_(std::move(stream)) {}
    void OnSendInitialMetadataDone(bool ok) override { stream_->Sent(ok); }
    void OnWriteDone(bool ok) override { stream_->Sent(ok); }
    void OnCancel() override {
      stream_->End(absl::CancelledError("the watcher left"));
    }
    // Not under the log's lock: it never runs this.
    void OnDone() override {
      stream_->watch_.reset();
      delete this;
    }
    v1::WatchAlertsResponse message;

   private:
    const std::shared_ptr<Stream> stream_;
  };

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

  // On `watch`: sends one alert if the last one is sent.
  void Pump() {
    bool busy = false;
    {
      const MutexLock lock(mutex_);
      scheduled_ = false;
      if (reactor_ == nullptr) {
        return;
      }
      busy = sending_;
    }
    if (const absl::Status status = busy ? CheckLag() : Step(); !status.ok()) {
      End(status);
    }
  }

  absl::Status Step() {
    if (!cursor_) {
      RETURN_IF_ERROR(FindStart());
      SendMetadata();
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(CheckLag());
    ASSIGN_OR_RETURN(const std::optional<DecisionEntry> next, Next());
    if (next) {
      Write(*next);
    }
    return absl::OkStatus();
  }

  absl::Status FindStart() {
    ASSIGN_OR_RETURN(const uint64_t last, parts_.store.LastSequence());
    if (after_ > last) {
      return NotKept(after_, last + 1);
    }
    cursor_ = after_ == 0 ? last : after_;
    live_ = *cursor_ == last;
    return absl::OkStatus();
  }

  absl::Status CheckLag() {
    if (!cursor_ || !live_) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const uint64_t last, parts_.store.LastSequence());
    return last - *cursor_ > parts_.max_lag ? TooSlow(*cursor_)
                                            : absl::OkStatus();
  }

  // None: wait.
  absl::StatusOr<std::optional<DecisionEntry>> Next() {
    for (int page = 0; page < kPagesAtOnce;) {
      if (page_.empty()) {
        ++page;
        ASSIGN_OR_RETURN(const std::vector<DecisionEntry> found,
                         parts_.store.After(*cursor_, kPage));
        if (found.empty()) {
          live_ = true;
          return std::nullopt;
        }
        page_.assign(found.begin(), found.end());
      }
      DecisionEntry entry = std::move(page_.front());
      page_.pop_front();
      if (entry.sequence != *cursor_ + 1) {
        return NotKept(*cursor_, entry.sequence);
      }
      cursor_ = entry.sequence;
      if (Wants(entry)) {
        return entry;
      }
    }
    ScheduleOrEnd();
    return std::nullopt;
  }

  [[nodiscard]] bool Wants(const DecisionEntry& entry) const {
    switch (entry.kind) {
      case DecisionEntry::Kind::kDecision:
        return !entry.trusted && may_(entry.vm_uuid);
      case DecisionEntry::Kind::kReference:
        return all_ || MayReference(entry.reference);
      case DecisionEntry::Kind::kHost:
        return all_;  // hosts are no customer's business
    }
    return false;
  }

  [[nodiscard]] bool MayReference(const std::string& reference) const {
    const size_t at = reference.rfind('@');
    return at != std::string::npos &&
           parts_.references.Get(reference.substr(0, at), 0, may_).ok();
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

  void Write(const DecisionEntry& entry) {
    if (Reactor* reactor = BeginSend(); reactor != nullptr) {
      *reactor->message.mutable_decision() = ToWire(entry);
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

  const VerificationParts parts_;
  const uint64_t after_;
  const verification::MayVm may_;
  const bool all_;
  std::unique_ptr<verification::DecisionLog::Watch> watch_;

  // Of the `watch` thread.
  std::optional<uint64_t> cursor_;  // the last sequence dealt with
  bool live_ = false;               // has caught up once
  std::deque<DecisionEntry> page_;

  Mutex mutex_;
  Reactor* reactor_ GUARDED_BY(mutex_) = nullptr;  // null once finished
  std::optional<absl::Status> end_ GUARDED_BY(mutex_);
  bool sending_ GUARDED_BY(mutex_) = false;
  bool scheduled_ GUARDED_BY(mutex_) = false;
};

class RefusingReactor final : public AlertReactor {
 public:
  explicit RefusingReactor(const absl::Status& status) {
    Finish(ToGrpc(status));
  }
  void OnDone() override { delete this; }
};

}  // namespace

AlertReactor* StartAlertStream(const VerificationParts& parts,
                               const v1::WatchAlertsRequest& request,
                               Authority authority) {
  return std::make_shared<Stream>(parts, request.after_sequence(),
                                  std::move(authority))
      ->Start();
}

AlertReactor* RefuseAlertStream(const absl::Status& status) {
  return new RefusingReactor(status);
}

}  // namespace vmattest::rpc
