#include "rpc/alert_stream.h"

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "rpc/pumped_stream.h"
#include "rpc/verifier_conversions.h"

namespace vmattest::rpc {
namespace {

using verification::DecisionEntry;

constexpr size_t kPage = 128;
// So that a watcher with few VMs does not keep the thread from the others.
constexpr int kPagesAtOnce = 8;

class Stream : public PumpedStream<v1::WatchAlertsResponse> {
 public:
  Stream(const VerificationParts& parts, uint64_t after, Authority authority)
      : PumpedStream(parts.watch),
        parts_(parts),
        after_(after),
        may_(MayOf(authority)),
        all_(authority.allows_all_vms()) {}

 private:
  absl::Status Subscribe() override {
    const std::weak_ptr<PumpedStream> weak = weak_from_this();
    ASSIGN_OR_RETURN(watch_, parts_.log.Subscribe([weak] {
      if (const auto self = std::static_pointer_cast<Stream>(weak.lock())) {
        (void)self->Schedule();
      }
    }));
    return absl::OkStatus();
  }
  void Unsubscribe() override { watch_.reset(); }

  absl::Status Step(bool sending) override {
    if (sending) {
      return CheckLag();
    }
    if (!cursor_) {
      RETURN_IF_ERROR(FindStart());
      SendMetadata();
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(CheckLag());
    ASSIGN_OR_RETURN(const std::optional<DecisionEntry> next, Next());
    if (next) {
      v1::WatchAlertsResponse message;
      *message.mutable_decision() = ToWire(*next);
      Send(std::move(message));
    }
    return absl::OkStatus();
  }

  absl::Status FindStart() {
    ASSIGN_OR_RETURN(const uint64_t last, parts_.store.LastSequence());
    if (after_ > last) {
      return EventsNotKept(after_, last + 1);
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
    return last - *cursor_ > parts_.max_lag ? WatcherTooSlow("alerts", *cursor_)
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
        return EventsNotKept(*cursor_, entry.sequence);
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

  const VerificationParts parts_;
  const uint64_t after_;
  const verification::MayVm may_;
  const bool all_;
  std::unique_ptr<verification::DecisionLog::Watch> watch_;

  // Of the `watch` thread.
  std::optional<uint64_t> cursor_;  // the last sequence dealt with
  bool live_ = false;               // has caught up once
  std::deque<DecisionEntry> page_;
};

}  // namespace

AlertReactor* StartAlertStream(const VerificationParts& parts,
                               const v1::WatchAlertsRequest& request,
                               Authority authority) {
  return std::make_shared<Stream>(parts, request.after_sequence(),
                                  std::move(authority))
      ->Start();
}

}  // namespace vmattest::rpc
