#ifndef VMATTEST_RPC_PUMPED_STREAM_H_
#define VMATTEST_RPC_PUMPED_STREAM_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/status.h"
#include "grpcpp/support/server_callback.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {

// RESOURCE_EXHAUSTED (WATCHER_TOO_SLOW): `what` are waiting for it.
absl::Status WatcherTooSlow(std::string_view what, uint64_t last);
// OUT_OF_RANGE (EVENTS_NOT_KEPT): what follows `after` is gone, or never was.
absl::Status EventsNotKept(uint64_t after, uint64_t next);

// A stream to one watcher, fed on the thread of `watch`, one message after the
// other. It lives as long as gRPC, its publisher or a task on that thread knows
// it.
template <typename Message>
class PumpedStream
    : public std::enable_shared_from_this<PumpedStream<Message>> {
 public:
  using ServerReactor = grpc::ServerWriteReactor<Message>;

  explicit PumpedStream(Executor& watch) : watch_(watch) {}
  PumpedStream(const PumpedStream&) = delete;
  PumpedStream& operator=(const PumpedStream&) = delete;
  virtual ~PumpedStream() = default;

  // Once. gRPC owns what is returned.
  ServerReactor* Start() {
    auto* reactor = new Reactor(this->shared_from_this());
    {
      const MutexLock lock(mutex_);
      reactor_ = reactor;
    }
    if (const absl::Status subscribed = Subscribe(); !subscribed.ok()) {
      End(WithReason(subscribed, {"TOO_MANY_WATCHERS", {}}));
    } else {
      ScheduleOrEnd();
    }
    return reactor;
  }

 protected:
  // From Start: the publisher calls Schedule() from now on.
  virtual absl::Status Subscribe() = 0;
  // When gRPC is done with it, under no lock.
  virtual void Unsubscribe() = 0;
  // On `watch`; an error ends the stream. `sending`: the last message is not
  // gone yet, so none may be sent.
  virtual absl::Status Step(bool sending) = 0;

  // Has Step called soon. Any thread, also under a publisher's lock. At most
  // one task per stream is queued, so `watch` cannot overflow as long as its
  // queue holds one for each watcher. If refused, the server is stopping and
  // ends all streams.
  absl::Status Schedule() EXCLUDES_LOCK(mutex_) {
    {
      const MutexLock lock(mutex_);
      if (scheduled_) {
        return absl::OkStatus();
      }
      scheduled_ = true;
    }
    return watch_.Submit([self = this->shared_from_this()] { self->Pump(); });
  }
  void ScheduleOrEnd() {
    if (const absl::Status queued = Schedule(); !queued.ok()) {
      End(queued);
    }
  }

  // From Step: tells the watcher that what happens from now on is seen.
  void SendMetadata() {
    if (Reactor* reactor = BeginSend(); reactor != nullptr) {
      reactor->StartSendInitialMetadata();
    }
  }
  // From Step; it is called again once the message is gone.
  void Send(Message message) {
    if (Reactor* reactor = BeginSend(); reactor != nullptr) {
      reactor->message = std::move(message);
      reactor->StartWrite(&reactor->message);
    }
  }

 private:
  class Reactor final : public ServerReactor {
   public:
    explicit Reactor(std::shared_ptr<PumpedStream> stream)
        : stream_(std::move(stream)) {}
    void OnSendInitialMetadataDone(bool ok) override { stream_->Sent(ok); }
    void OnWriteDone(bool ok) override { stream_->Sent(ok); }
    void OnCancel() override {
      stream_->End(absl::CancelledError("the watcher left"));
    }
    void OnDone() override {
      stream_->Unsubscribe();
      delete this;
    }
    Message message;

   private:
    const std::shared_ptr<PumpedStream> stream_;
  };

  void Pump() EXCLUDES_LOCK(mutex_) {
    bool sending = false;
    {
      const MutexLock lock(mutex_);
      scheduled_ = false;
      if (reactor_ == nullptr) {
        return;
      }
      sending = sending_;
    }
    if (const absl::Status status = Step(sending); !status.ok()) {
      End(status);
    }
  }

  // The reactor, which lives until Sent(); null if it is finished.
  Reactor* BeginSend() EXCLUDES_LOCK(mutex_) {
    const MutexLock lock(mutex_);
    sending_ = reactor_ != nullptr;
    return reactor_;
  }

  void Sent(bool ok) EXCLUDES_LOCK(mutex_) {
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
  void End(const absl::Status& status) EXCLUDES_LOCK(mutex_) {
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

  Executor& watch_;
  Mutex mutex_;
  Reactor* reactor_ GUARDED_BY(mutex_) = nullptr;  // null once finished
  std::optional<absl::Status> end_ GUARDED_BY(mutex_);
  bool sending_ GUARDED_BY(mutex_) = false;
  bool scheduled_ GUARDED_BY(mutex_) = false;
};

// A stream that ends at once.
template <typename Message>
grpc::ServerWriteReactor<Message>* RefuseStream(const absl::Status& status) {
  class Refusing final : public grpc::ServerWriteReactor<Message> {
   public:
    explicit Refusing(const absl::Status& why) { this->Finish(ToGrpc(why)); }
    void OnDone() override { delete this; }
  };
  return new Refusing(status);
}

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_PUMPED_STREAM_H_
