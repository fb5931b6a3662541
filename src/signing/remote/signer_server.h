#ifndef VMATTEST_SIGNING_REMOTE_SIGNER_SERVER_H_
#define VMATTEST_SIGNING_REMOTE_SIGNER_SERVER_H_

#include <deque>
#include <functional>
#include <thread>

#include "base/executor.h"
#include "base/mutex.h"
#include "ipc/channel.h"
#include "signing/signer.h"
#include "vmattest/internal/signer.pb.h"

namespace vmattest::signing {

// Serves a signer to the other end of a channel, which asks for what Signer
// offers and nothing else. Many requests are in flight at a time; they are
// handed to the signer in the order in which they came. Owns the threads
// `signer-reply` (sends) and `signer-admin` (calls that block, one at a time).
class SignerServer {
 public:
  // Both must outlive it. `stop` is called for an orderly end, before it is
  // answered: it closes the log.
  SignerServer(ipc::Channel& channel, Signer& signer,
               std::function<void()> stop);
  SignerServer(const SignerServer&) = delete;
  SignerServer& operator=(const SignerServer&) = delete;
  // The signer must have no request left.
  ~SignerServer();

  // Answers pings, too: that it does shows that neither this thread nor
  // `signer-reply` hangs, while the signer may wait for a TPM.
  // Until the other end asks for an orderly end (OK), or closes the channel
  // without (UNAVAILABLE). DATA_LOSS: what came is no request.
  absl::Status Serve();
  // Tells the other end how the signer is. Any thread; never blocks.
  void StateChanged() EXCLUDES_LOCK(mutex_);

 private:
  using Request = internal::SignerRequest;
  using Reply = internal::SignerReply;

  void Handle(const Request& request);
  // The four that do not block: errors of handing over are the answer, too.
  absl::Status Start(const Request& request, MonotonicTime deadline);
  absl::StatusOr<Reply> Administer(const Request& request);
  void Answer(uint64_t id, absl::StatusOr<Reply> reply) EXCLUDES_LOCK(mutex_);
  void SendLoop() EXCLUDES_LOCK(mutex_);
  [[nodiscard]] Reply StateReply();

  ipc::Channel& channel_;
  Signer& signer_;
  const std::function<void()> stop_;
  ThreadPool admin_;
  Bytes identity_sent_;  // `signer-reply` only
  Mutex mutex_;
  CondVar changed_;
  std::deque<Reply> replies_ GUARDED_BY(mutex_);
  bool state_changed_ GUARDED_BY(mutex_) = true;
  bool ending_ GUARDED_BY(mutex_) = false;
  std::thread sender_;  // last: it uses all of the above
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_REMOTE_SIGNER_SERVER_H_
