#include "signing/remote/remote_signer.h"

#include <pthread.h>

#include <algorithm>
#include <future>
#include <utility>

#include "fmt/format.h"
#include "signing/remote/signer_codec.h"

namespace vmattest::signing {
namespace {

constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{5000};
// A signer that served for so long and died has its pauses begin anew.
constexpr std::chrono::seconds kSettled{10};
constexpr std::chrono::seconds kSending{10};
constexpr std::chrono::seconds kDying{2};
constexpr std::chrono::seconds kOpeningTpm{10};
// Until it says its first word: loading OpenSSL's module takes self-tests.
constexpr std::chrono::seconds kStarting{60};
constexpr int kMaxSends = 3;
constexpr std::string_view kAgainFact = "again";

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

absl::Status ShuttingDown() {
  return absl::UnavailableError("the signer is shutting down");
}

int64_t MillisecondsUntil(MonotonicTime deadline) {
  const MonotonicTime longest = Now() + std::chrono::hours(1);
  return std::max<int64_t>(1, std::chrono::ceil<std::chrono::milliseconds>(
                                  std::min(deadline, longest) - Now())
                                  .count());
}

// The event of a request that may have been carried out already.
void MarkAgain(internal::SignerRequest& request) {
  if (!request.has_append()) {
    return;
  }
  auto event = eventlog::ParseHostEvent(request.append().event());
  if (event.ok()) {
    event->facts[std::string(kAgainFact)] = "true";
    request.mutable_append()->set_event(eventlog::EncodeHostEvent(*event));
  }
}

}  // namespace

RemoteSigner::RemoteSigner(SignerConnector connect, Options options)
    : connect_(std::move(connect)), options_(std::move(options)) {
  state_.tpm = absl::UnavailableError("vmattest-signer is being started");
  receiver_ = std::thread([this] { ReceiveLoop(); });
  sender_ = std::thread([this] { SendLoop(); });
  pthread_setname_np(receiver_.native_handle(), "signer-recv");
  pthread_setname_np(sender_.native_handle(), "signer-send");
}

RemoteSigner::~RemoteSigner() { Stop(); }

void RemoteSigner::Stop() {
  if (std::exchange(stopped_, true)) {
    return;
  }
  std::promise<void> closed;
  std::future<void> answer = closed.get_future();
  Request request;
  request.mutable_stop();
  bool linked = false;
  {
    const MutexLock lock(mutex_);
    linked = channel_ != nullptr;
  }
  if (linked &&
      Enqueue(std::move(request), Now() + options_.stop_timeout, Again::kNo,
              [&closed](const auto&) { closed.set_value(); })
          .ok()) {
    {
      const MutexLock lock(mutex_);
      refusing_ = true;
    }
    answer.wait();  // its deadline answers at the latest
  }
  {
    const MutexLock lock(mutex_);
    refusing_ = true;
    stopping_ = true;
    if (channel_ != nullptr) {
      channel_->Close();
    }
  }
  changed_.NotifyAll();
  receiver_.join();
  sender_.join();
}

bool RemoteSigner::stopping() const {
  const MutexLock lock(mutex_);
  return stopping_;
}

SignerState RemoteSigner::state() const {
  const MutexLock lock(mutex_);
  return state_;
}

SignerStats RemoteSigner::stats() const {
  const MutexLock lock(mutex_);
  SignerStats stats = stats_;
  stats.pending = pending_.size();
  return stats;
}

std::optional<pid_t> RemoteSigner::pid() const {
  const MutexLock lock(mutex_);
  return pid_;
}

absl::Status RemoteSigner::Enqueue(Request request, MonotonicTime deadline,
                                   Again again, Done done) {
  if (request.ByteSizeLong() > kMaxSignerMessage - 64) {
    return absl::InvalidArgumentError("too large for the signer");
  }
  {
    const MutexLock lock(mutex_);
    if (refusing_) {
      return ShuttingDown();
    }
    if (pending_.size() >= options_.max_pending && !request.has_stop()) {
      return absl::ResourceExhaustedError(
          fmt::format("{} requests wait for the signer", pending_.size()));
    }
    const uint64_t id = ++last_id_;
    request.set_id(id);
    pending_.emplace(
        id, Pending{std::move(request), deadline, std::move(done), again});
    deadlines_.emplace(deadline, id);
    unsent_.push_back(id);
  }
  changed_.NotifyAll();
  return absl::OkStatus();
}

std::optional<RemoteSigner::Pending> RemoteSigner::Remove(uint64_t id) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) {
    return std::nullopt;
  }
  Pending pending = std::move(found->second);
  pending_.erase(found);
  auto [at, end] = deadlines_.equal_range(pending.deadline);
  at = std::find_if(at, end,
                    [id](const auto& each) { return each.second == id; });
  deadlines_.erase(at);
  return pending;
}

// --- What goes out.

MonotonicTime RemoteSigner::NextDeadline() const {
  return deadlines_.empty() ? ipc::kNoDeadline : deadlines_.begin()->first;
}

bool RemoteSigner::MaySend() const {
  return channel_ != nullptr && !unsent_.empty() &&
         (ready_ || refusing_ || Now() >= ready_anyhow_);
}

bool RemoteSigner::FailExpired() {
  std::vector<Pending> expired;
  {
    const MutexLock lock(mutex_);
    while (NextDeadline() <= Now()) {
      expired.push_back(*Remove(deadlines_.begin()->second));
    }
  }
  for (const Pending& pending : expired) {
    pending.done(absl::DeadlineExceededError(
        "the signer did not answer before the deadline"));
  }
  return !expired.empty();
}

bool RemoteSigner::SendOne() {
  std::shared_ptr<ipc::Channel> channel;
  ipc::Message message;
  {
    const MutexLock lock(mutex_);
    if (!MaySend()) {
      return false;
    }
    const auto found = pending_.find(unsent_.front());
    unsent_.pop_front();
    if (found == pending_.end()) {
      return true;  // expired meanwhile
    }
    channel = channel_;
    Pending& pending = found->second;
    if (pending.sent++ > 0) {
      MarkAgain(pending.request);
    }
    pending.request.set_timeout_ms(MillisecondsUntil(pending.deadline));
    message = ToIpcMessage(pending.request);
  }
  if (!channel->Send(message, Now() + kSending).ok()) {
    channel->Close();  // `signer-recv` sees to the rest
  }
  return true;
}

bool RemoteSigner::SendPing() {
  std::shared_ptr<ipc::Channel> channel;
  {
    const MutexLock lock(mutex_);
    if (!std::exchange(ping_, false) || channel_ == nullptr) {
      return false;
    }
    channel = channel_;
  }
  Request ping;
  ping.mutable_ping();
  if (!channel->Send(ToIpcMessage(ping), Now() + kSending).ok()) {
    channel->Close();
  }
  return true;
}

void RemoteSigner::SendLoop() {
  while (!stopping()) {
    if (FailExpired() || SendPing() || SendOne()) {
      continue;
    }
    const MutexLock lock(mutex_);
    if (stopping_ || ping_ || MaySend()) {
      continue;
    }
    const bool opening = channel_ != nullptr && !unsent_.empty();
    const MonotonicTime until =
        opening ? std::min(ready_anyhow_, NextDeadline()) : NextDeadline();
    if (until == ipc::kNoDeadline) {
      changed_.Wait(mutex_);
    } else {
      (void)changed_.WaitUntil(mutex_, until);
    }
  }
}

// --- What comes in.

void RemoteSigner::Attach(const SignerLink& link) {
  {
    const MutexLock lock(mutex_);
    channel_ = link.channel;
    ping_ = false;
    ready_ = false;
    ready_anyhow_ = Now() + kOpeningTpm;
    if (link.process) {
      pid_ = link.process->pid();
    }
    if (stopping_) {
      channel_->Close();
    }
  }
  changed_.NotifyAll();
}

// Whatever was sent is sent again, before what was not; or given up.
void RemoteSigner::Detach(const absl::Status& why) {
  std::vector<Pending> lost;
  SignerState state;
  {
    const MutexLock lock(mutex_);
    channel_.reset();
    pid_.reset();
    state_.tpm = why;
    state = state_;
    std::vector<uint64_t> ids;
    for (const auto& [id, pending] : pending_) {
      if (stopping_ || pending.sent >= kMaxSends ||
          (pending.sent > 0 && pending.again == Again::kNo)) {
        ids.push_back(id);
      }
    }
    for (const uint64_t id : ids) {
      lost.push_back(*Remove(id));
    }
    unsent_.clear();
    for (const auto& [id, pending] : pending_) {
      unsent_.push_back(id);
    }
  }
  changed_.NotifyAll();
  for (const Pending& pending : lost) {
    pending.done(absl::UnavailableError(std::string(why.message())));
  }
  if (options_.on_state) {
    options_.on_state(state);
  }
}

absl::Status RemoteSigner::TakeState(const Reply::State& message) {
  SignerState state;
  {
    const MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(state, Parse(message, state_));
    state_ = state;
    ready_ = ready_ || !absl::IsUnavailable(state.tpm);
  }
  changed_.NotifyAll();
  if (options_.on_state) {
    options_.on_state(state);
  }
  return absl::OkStatus();
}

absl::Status RemoteSigner::Take(Reply reply) {
  if (reply.id() == 0) {
    if (reply.has_pong()) {
      return absl::OkStatus();
    }
    return reply.has_state()
               ? TakeState(reply.state())
               : absl::InvalidArgumentError("an answer to no question");
  }
  std::optional<Pending> pending;
  {
    const MutexLock lock(mutex_);
    if (reply.id() > last_id_) {
      return absl::InvalidArgumentError("an answer to no question");
    }
    pending = Remove(reply.id());
    if (reply.has_stats()) {
      stats_.quotes = reply.stats().quotes();
      stats_.sealed = reply.stats().sealed();
    }
    if (reply.has_log_head() && reply.code() == 0) {
      ASSIGN_OR_RETURN(const eventlog::LogHead head, Parse(reply.log_head()));
      if (!state_.log || state_.log->size < head.size) {
        state_.log = head;
      }
    }
  }
  if (pending) {  // else it came after its deadline
    const absl::Status status = GetStatus(reply.code(), reply.message());
    pending->done(status.ok() ? absl::StatusOr<Reply>(std::move(reply))
                              : status);
  }
  return absl::OkStatus();
}

// DEADLINE_EXCEEDED: it was pinged after `silence`, and answered nothing.
absl::StatusOr<ipc::Message> RemoteSigner::NextMessage(
    ipc::Channel& channel, std::chrono::milliseconds silence) {
  absl::Status heard = channel.AwaitMessage(Now() + silence);
  if (absl::IsDeadlineExceeded(heard)) {
    {
      const MutexLock lock(mutex_);
      ping_ = true;
    }
    changed_.NotifyAll();
    heard = channel.AwaitMessage(Now() + options_.hung_after);
  }
  RETURN_IF_ERROR(heard);
  return channel.Receive(Now() + options_.hung_after);
}

absl::Status RemoteSigner::ServeLink(const SignerLink& link) {
  std::chrono::milliseconds silence =
      std::max<std::chrono::milliseconds>(kStarting, options_.ping_after);
  while (true) {
    absl::StatusOr<ipc::Message> message = NextMessage(*link.channel, silence);
    if (absl::IsDeadlineExceeded(message.status())) {
      return absl::DeadlineExceededError(
          fmt::format("it hangs: no answer of any kind in {} ms",
                      (silence + options_.hung_after).count()));
    }
    RETURN_IF_ERROR(message.status());
    silence = options_.ping_after;
    Reply reply;
    RETURN_IF_ERROR(FromIpcMessage(*message, reply));
    if (const absl::Status status = Take(std::move(reply)); !status.ok()) {
      return absl::DataLossError(status.message());
    }
  }
}

void RemoteSigner::Pause(std::chrono::milliseconds time) {
  const MonotonicTime until = Now() + time;
  const MutexLock lock(mutex_);
  while (!stopping_ && changed_.WaitUntil(mutex_, until)) {
  }
}

// The process is gone when this returns.
absl::Status RemoteSigner::RunSigner() {
  ASSIGN_OR_RETURN(SignerLink link, connect_());
  Attach(link);
  absl::Status why = ServeLink(link);
  link.channel->Close();
  const bool hangs = absl::IsDeadlineExceeded(why);
  if (hangs) {  // for whoever waits, it is away
    why = absl::UnavailableError(why.message());
  }
  if (!link.process) {
    return why;
  }
  if (hangs || !absl::IsUnavailable(why)) {
    link.process->Kill();
  }
  const auto end = link.process->Wait(Now() + kDying);
  return {why.code(),
          fmt::format("vmattest-signer: {}: {}", std::string(why.message()),
                      end.ok() ? *end : "killed, as it did not end")};
}

void RemoteSigner::ReceiveLoop() {
  std::chrono::milliseconds pause = kFirstPause;
  while (!stopping()) {
    const MonotonicTime begun = Now();
    const absl::Status why = RunSigner();
    Detach(stopping() ? ShuttingDown() : why);
    pause = Now() - begun > kSettled ? kFirstPause : pause;
    Pause(pause);
    pause = std::min(2 * pause, kLongestPause);
  }
  Detach(ShuttingDown());
}

}  // namespace vmattest::signing
