#include "verification/webhook.h"

#include <pthread.h>

#include <utility>

#include "base/log.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace vmattest::verification {

std::string WebhookBody(const DecisionEntry& decision) {
  nlohmann::ordered_json body;
  body["sequence"] = decision.sequence;
  body["kind"] = KindName(decision.kind);
  body["time_unix_ms"] = decision.time_unix_ms;
  body["vm_uuid"] = decision.vm_uuid;
  body["vm_name"] = decision.vm_name;
  body["host_id"] = decision.host_id;
  body["trusted"] = decision.trusted;
  body["reference"] = decision.reference;
  body["root"] = ToHex(decision.root);
  body["failures"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < decision.reasons.size(); ++i) {
    const Reason& reason = decision.reasons[i];
    nlohmann::ordered_json failure;
    failure["code"] = reason.code;
    failure["element"] = reason.element;
    failure["expected"] = reason.expected;
    failure["found"] = reason.found;
    failure["fix"] = i < decision.fixes.size() ? decision.fixes[i] : "";
    body["failures"].push_back(std::move(failure));
  }
  // Names may hold bytes that are no UTF-8.
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Webhook::Webhook(Options options, SecretBytes secret,
                 std::unique_ptr<HttpPoster> poster, const Clock& clock)
    : options_(std::move(options)),
      secret_(std::move(secret)),
      poster_(std::move(poster)),
      clock_(clock),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "webhook");
}

Webhook::~Webhook() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void Webhook::Tell(const DecisionEntry& decision) {
  if (options_.refused_only && decision.trusted) {
    return;
  }
  std::string body = WebhookBody(decision);
  {
    const MutexLock lock(mutex_);
    if (queue_.size() >= options_.max_queued) {
      ++counters_.dropped;
      return;
    }
    queue_.push_back(std::move(body));
  }
  changed_.NotifyAll();
}

void Webhook::Run() {
  while (true) {
    std::string body;
    {
      const MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) {
        changed_.Wait(mutex_);
      }
      if (stopping_) {
        return;
      }
      body = std::move(queue_.front());
      queue_.pop_front();
    }
    const bool sent = Send(body);
    const MutexLock lock(mutex_);
    ++(sent ? counters_.sent : counters_.dropped);
  }
}

bool Webhook::Send(const std::string& body) {
  std::chrono::milliseconds pause = options_.first_pause;
  for (int i = 0; i < options_.tries; ++i) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(
                             clock_.Now().time_since_epoch())
                             .count();
    const std::string signed_text = fmt::format("{}.{}", seconds, body);
    const DigestBytes mac = HmacSha256(secret_, AsBytes(signed_text));
    const absl::Status status =
        poster_->Post(options_.url,
                      {"Content-Type: application/json",
                       fmt::format("Vmattest-Signature: t={},v1={}", seconds,
                                   ToHex(ByteView(mac)))},
                      body, options_.timeout);
    if (status.ok()) {
      return true;
    }
    const auto until = std::chrono::steady_clock::now() + pause;
    pause *= 2;
    const MutexLock lock(mutex_);
    counters_.last_error = std::string(status.message());
    if (absl::IsInvalidArgument(status)) {
      break;
    }
    while (!stopping_ && changed_.WaitUntil(mutex_, until)) {
    }
    if (stopping_) {
      return false;
    }
  }
  log::Warning("webhook gave up", {{"url", options_.url}});
  return false;
}

Webhook::Counters Webhook::counters() const {
  const MutexLock lock(mutex_);
  Counters counters = counters_;
  counters.waiting = queue_.size();
  return counters;
}

}  // namespace vmattest::verification
