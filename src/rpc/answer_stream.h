#ifndef VMATTEST_RPC_ANSWER_STREAM_H_
#define VMATTEST_RPC_ANSWER_STREAM_H_

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "grpcpp/support/server_callback.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {

// A bounded answer that is written message by message, as it comes: messages
// wait while one is under way, and what may be dropped is when others wait.
// Lives until gRPC is done with it and whoever fills it has ended it. Any
// thread.
template <class Message>
class AnswerStream
    : public std::enable_shared_from_this<AnswerStream<Message>> {
 public:
  using ServerReactor = grpc::ServerWriteReactor<Message>;

  // Once. gRPC owns what is returned.
  ServerReactor* Start() {
    auto* reactor = new Reactor(this->shared_from_this());
    const MutexLock lock(mutex_);
    reactor_ = reactor;
    return reactor;
  }
  // Only the newest of those that are droppable waits.
  void Send(Message message, bool droppable) EXCLUDES_LOCK(mutex_) {
    const MutexLock lock(mutex_);
    if (droppable && !waiting_.empty()) {
      return;
    }
    waiting_.push_back(std::move(message));
    WriteNext();
  }
  // After the last message, whose client gets all before this.
  void End(const absl::Status& status) EXCLUDES_LOCK(mutex_) {
    const MutexLock lock(mutex_);
    if (!end_) {
      end_ = status;
    }
    if (!status.ok()) {
      waiting_.clear();
    }
    WriteNext();
  }
  [[nodiscard]] bool cancelled() const { return cancelled_.load(); }

 private:
  class Reactor final : public ServerReactor {
   public:
    explicit Reactor(std::shared_ptr<AnswerStream> stream)
        : stream_(std::move(stream)) {}
    void OnWriteDone(bool ok) override { stream_->Written(ok); }
    void OnCancel() override {
      stream_->cancelled_ = true;
      stream_->End(absl::CancelledError("the client left"));
    }
    void OnDone() override { delete this; }
    Message message;

   private:
    const std::shared_ptr<AnswerStream> stream_;
  };

  void Written(bool ok) EXCLUDES_LOCK(mutex_) {
    const MutexLock lock(mutex_);
    writing_ = false;
    if (!ok) {
      end_ = absl::CancelledError("the client left");
      waiting_.clear();
    }
    WriteNext();
  }

  // The lock is held across gRPC's calls: they only hand over.
  void WriteNext() REQUIRES_LOCK(mutex_) {
    if (reactor_ == nullptr || writing_) {
      return;
    }
    if (!waiting_.empty()) {
      reactor_->message = std::move(waiting_.front());
      waiting_.pop_front();
      writing_ = true;
      reactor_->StartWrite(&reactor_->message);
    } else if (end_) {
      std::exchange(reactor_, nullptr)->Finish(ToGrpc(*end_));
    }
  }

  std::atomic<bool> cancelled_ = false;
  Mutex mutex_;
  Reactor* reactor_ GUARDED_BY(mutex_) = nullptr;  // null once finished
  std::deque<Message> waiting_ GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_ANSWER_STREAM_H_
