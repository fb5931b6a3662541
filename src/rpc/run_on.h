#ifndef VMATTEST_RPC_RUN_ON_H_
#define VMATTEST_RPC_RUN_ON_H_

#include <atomic>
#include <memory>
#include <utility>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/status.h"
#include "grpcpp/support/server_callback.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {

// One unary call that is answered later, by whoever comes first: the work that
// was asked for, or the client's leaving. Shared by both; what comes second is
// dropped, so the work needs not know whether anybody still listens. It must
// not touch gRPC's request: that is gone with the call.
//
// Some Finish() is owed exactly as long as the call is open, else it leaks.
// Callable from any thread.
template <class Response>
class PendingCall : public std::enable_shared_from_this<PendingCall<Response>> {
 public:
  struct Started {
    std::shared_ptr<PendingCall> call;
    grpc::ServerUnaryReactor* reactor;  // what the handler returns
  };
  static Started Start(Response* response) {
    auto call = std::make_shared<PendingCall>();
    auto* reactor = new Reactor(call);  // deletes itself in OnDone
    const MutexLock lock(call->mutex_);
    call->reactor_ = reactor;
    call->response_ = response;
    return {call, reactor};
  }

  void Finish(absl::StatusOr<Response> result) {
    grpc::ServerUnaryReactor* reactor = Take();
    if (reactor == nullptr) {
      return;
    }
    if (result.ok()) {
      *response_ = *std::move(result);
    }
    reactor->Finish(ToGrpc(result.status()));
  }

  // True once the client cancelled or its deadline passed.
  [[nodiscard]] bool cancelled() const { return cancelled_.load(); }

 private:
  class Reactor final : public grpc::ServerUnaryReactor {
   public:
    explicit Reactor(std::shared_ptr<PendingCall> call)
        : call_(std::move(call)) {}
    void OnCancel() override {
      call_->cancelled_ = true;
      call_->Finish(absl::CancelledError("the client left"));
    }
    void OnDone() override { delete this; }

   private:
    const std::shared_ptr<PendingCall> call_;
  };

  // The reactor, for the one who will finish it; until then it lives.
  grpc::ServerUnaryReactor* Take() {
    const MutexLock lock(mutex_);
    return std::exchange(reactor_, nullptr);
  }

  Mutex mutex_;
  grpc::ServerUnaryReactor* reactor_ GUARDED_BY(mutex_) = nullptr;
  Response* response_ = nullptr;  // the taker's of reactor_
  std::atomic<bool> cancelled_ = false;
};

// A call that is answered at once.
template <class Response>
grpc::ServerUnaryReactor* AnswerNow(Response* response,
                                    absl::StatusOr<Response> result) {
  auto [call, reactor] = PendingCall<Response>::Start(response);
  call->Finish(std::move(result));
  return reactor;
}

// Runs blocking `work`, which returns StatusOr<Response>, on `executor` and
// answers with what it returns; with the executor's error if it is refused.
// Work whose client has left is skipped.
template <class Response, class Work>
grpc::ServerUnaryReactor* RunOn(Executor& executor, Response* response,
                                Work work) {
  auto started = PendingCall<Response>::Start(response);
  auto call = started.call;
  const absl::Status queued =
      executor.Submit([call, work = std::move(work)]() mutable {
        if (!call->cancelled()) {
          call->Finish(work());
        }
      });
  if (!queued.ok()) {
    call->Finish(queued);
  }
  return started.reactor;
}

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_RUN_ON_H_
