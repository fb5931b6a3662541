#include "rpc/event_log_stream.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {
namespace {

constexpr size_t kPiece = 256u << 10;

// Lives until gRPC is done with it and the fetch has answered: each holds it.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  EventLogReactor* Start(
      const std::function<void(attestor::HostLogDone)>& fetch) {
    auto* reactor = new Reactor(shared_from_this());
    {
      const MutexLock lock(mutex_);
      reactor_ = reactor;
    }
    fetch([self = shared_from_this()](
              absl::StatusOr<attestor::HostLogAnswer> answer) {
      self->Answered(std::move(answer));
    });
    return reactor;
  }

 private:
  class Reactor final : public EventLogReactor {
   public:
    explicit Reactor(std::shared_ptr<Stream> stream)
        : stream_(std::move(stream)) {}
    void OnWriteDone(bool ok) override { stream_->Next(ok); }
    void OnCancel() override {
      stream_->End(absl::CancelledError("the client left"));
    }
    void OnDone() override { delete this; }
    v1::GetEventLogResponse message;

   private:
    const std::shared_ptr<Stream> stream_;
  };

  void Answered(absl::StatusOr<attestor::HostLogAnswer> answer) {
    if (!answer.ok()) {
      End(answer.status());
      return;
    }
    {
      const MutexLock lock(mutex_);
      answer_ = *std::move(answer);
    }
    Next(true);
  }

  // Writes the next piece, or ends. One write is under way at a time, so the
  // lock is held across StartWrite: it only hands over.
  void Next(bool ok) {
    if (!ok) {
      End(absl::CancelledError("the client left"));
      return;
    }
    {
      const MutexLock lock(mutex_);
      if (reactor_ == nullptr) {
        return;
      }
      reactor_->message.Clear();
      if (Fill(reactor_->message)) {
        reactor_->StartWrite(&reactor_->message);
        return;
      }
    }
    End(absl::OkStatus());
  }

  bool Fill(v1::GetEventLogResponse& message) REQUIRES_LOCK(mutex_) {
    if (!std::exchange(evidence_sent_, true)) {
      message.set_evidence(answer_->evidence.data(), answer_->evidence.size());
      return true;
    }
    if (const auto piece = Cut(answer_->boot_log, boot_log_sent_);
        !piece.empty()) {
      message.set_boot_log(piece.data(), piece.size());
      return true;
    }
    if (const auto piece = Cut(answer_->records, records_sent_);
        !piece.empty()) {
      message.set_records(piece.data(), piece.size());
      return true;
    }
    return false;
  }

  static ByteView Cut(const Bytes& bytes, size_t& sent) {
    const size_t size = std::min(kPiece, bytes.size() - sent);
    const ByteView piece = ByteView(bytes).subspan(sent, size);
    sent += size;
    return piece;
  }

  void End(const absl::Status& status) {
    Reactor* reactor = nullptr;
    {
      const MutexLock lock(mutex_);
      reactor = std::exchange(reactor_, nullptr);
    }
    if (reactor != nullptr) {
      reactor->Finish(ToGrpc(status));
    }
  }

  Mutex mutex_;
  Reactor* reactor_ GUARDED_BY(mutex_) = nullptr;
  std::optional<attestor::HostLogAnswer> answer_ GUARDED_BY(mutex_);
  bool evidence_sent_ GUARDED_BY(mutex_) = false;
  size_t boot_log_sent_ GUARDED_BY(mutex_) = 0;
  size_t records_sent_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

EventLogReactor* StreamEventLog(
    const std::function<void(attestor::HostLogDone)>& fetch) {
  return std::make_shared<Stream>()->Start(fetch);
}

}  // namespace vmattest::rpc
