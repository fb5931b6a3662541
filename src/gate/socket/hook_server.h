#ifndef VMATTEST_GATE_SOCKET_HOOK_SERVER_H_
#define VMATTEST_GATE_SOCKET_HOOK_SERVER_H_

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/executor.h"
#include "base/handles.h"
#include "gate/protocol/messages.h"
#include "ipc/channel.h"

namespace vmattest::gate {

// The daemon's end of the hook socket: one framed call and one reply for each
// connection, nobody but root and the daemon's own user. Calls wait in a
// bounded queue for one of the `gate` threads; those beyond it are told so at
// once. A caller that is slow to send or to read is cut off.
class HookServer {
 public:
  struct Options {
    std::filesystem::path path;
    size_t threads = 8;
    size_t max_waiting = 256;
    std::chrono::milliseconds deadline{30'000};  // of a decision
    std::chrono::milliseconds io{2'000};         // to send, to read
  };
  // Called from `gate` threads, several at once: signed replies.
  struct Handlers {
    std::function<GateReply(const GateCall& call, MonotonicTime deadline)>
        decide;
    std::function<GateReply(const GateCall& call)> busy;
  };
  // Takes the place of a socket that a dead daemon left; mode 0600. Errors as
  // the kernel says, with the path.
  static absl::StatusOr<std::unique_ptr<HookServer>> Start(Options options,
                                                           Handlers handlers);
  HookServer(const HookServer&) = delete;
  HookServer& operator=(const HookServer&) = delete;
  // Waits for the decisions under way.
  ~HookServer();

  // Takes no more calls. Idempotent, one thread.
  void StopListening();

 private:
  HookServer(Options options, Handlers handlers, UniqueFd listener,
             UniqueFd wake);
  void Listen();
  void Serve(const std::shared_ptr<ipc::Channel>& channel, bool busy);

  const Options options_;
  const Handlers handlers_;
  const UniqueFd listener_;
  const UniqueFd wake_;
  ThreadPool deciding_;
  ThreadPool refusing_;
  std::thread thread_;
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_SOCKET_HOOK_SERVER_H_
