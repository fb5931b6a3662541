#ifndef VMATTEST_VERIFICATION_WEBHOOK_H_
#define VMATTEST_VERIFICATION_WEBHOOK_H_

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/secret_bytes.h"
#include "verification/http_poster.h"
#include "verification/verifier_store.h"

namespace vmattest::verification {

// Tells an HTTP server of decisions, on a thread of its own ("webhook"), never
// in a decision's way: what does not fit into its queue is dropped and counted.
// The body is JSON (docs/verifier.md); the header "Vmattest-Signature:
// t=SECONDS,v1=HEX" has HMAC-SHA-256 of "SECONDS.BODY" with the shared secret.
// At most once per queue, at least once per success: a receiver tells
// repetitions by "sequence". Callable from any thread.
class Webhook {
 public:
  struct Options {
    std::string url;
    bool refused_only = false;
    size_t max_queued = 1024;
    int tries = 5;
    std::chrono::milliseconds timeout = std::chrono::seconds(5);
    std::chrono::milliseconds first_pause = std::chrono::milliseconds(500);
  };
  Webhook(Options options, SecretBytes secret,
          std::unique_ptr<HttpPoster> poster, const Clock& clock);
  Webhook(const Webhook&) = delete;
  Webhook& operator=(const Webhook&) = delete;
  // Gives up what waits.
  ~Webhook();

  void Tell(const DecisionEntry& decision);

  struct Counters {
    uint64_t sent = 0;
    uint64_t dropped = 0;  // queue full, or given up
    size_t waiting = 0;
    std::string last_error;
  };
  [[nodiscard]] Counters counters() const;

 private:
  void Run();
  bool Send(const std::string& body);

  const Options options_;
  const SecretBytes secret_;
  const std::unique_ptr<HttpPoster> poster_;
  const Clock& clock_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> queue_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  Counters counters_ GUARDED_BY(mutex_);
  std::thread thread_;
};

// What is sent about a decision. Pure.
std::string WebhookBody(const DecisionEntry& decision);

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_WEBHOOK_H_
