#include "signing/log_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "fmt/format.h"

namespace vmattest::signing {
namespace {

// So that quotes get their turn: each record is a command of its own.
constexpr size_t kMaxBatch = 32;

bool IsTheTpms(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDataLoss(status);
}

}  // namespace

absl::Status LogQueue::Append(eventlog::HostEvent event, MonotonicTime deadline,
                              Signer::AppendDone done) {
  RETURN_IF_ERROR(
      eventlog::ParseHostEvent(eventlog::EncodeHostEvent(event)).status());
  const MutexLock lock(mutex_);
  if (queue_.size() + written_.size() >= max_pending_) {
    return absl::ResourceExhaustedError(
        fmt::format("{} events wait for the host event log", max_pending_));
  }
  queue_.push_back({.event = std::move(event),
                    .deadline = deadline,
                    .done = std::move(done),
                    .record = 0});
  return absl::OkStatus();
}

absl::Status LogQueue::Opened() {
  absl::Status opened = log_.Open();
  on_log_();
  RETURN_IF_ERROR(opened);
  if (log_.status().ok()) {
    AnswerLogged();
  }
  return absl::OkStatus();
}

void LogQueue::AnswerLogged() {
  Batch logged;
  {
    const MutexLock lock(mutex_);
    logged.swap(written_);
  }
  for (const Pending& pending : logged) {
    if (pending.record <= log_.head().size) {
      pending.done(log_.head());
    } else {
      pending.done(absl::DataLossError("the record did not reach the log"));
    }
  }
}

LogQueue::Batch LogQueue::TakeBatch() {
  const MutexLock lock(mutex_);
  Batch batch;
  while (!queue_.empty() && batch.size() < kMaxBatch) {
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

void LogQueue::PutBack(Batch batch) {
  const MutexLock lock(mutex_);
  queue_.insert(queue_.begin(), std::make_move_iterator(batch.begin()),
                std::make_move_iterator(batch.end()));
}

absl::StatusOr<bool> LogQueue::DoTurn(const std::function<void()>& between) {
  Batch batch = TakeBatch();
  if (batch.empty()) {
    return false;
  }
  if (!log_.status().ok()) {
    if (absl::Status opened = Opened(); !opened.ok()) {
      PutBack(std::move(batch));
      return opened;
    }
  }
  if (!log_.status().ok()) {
    for (const Pending& pending : batch) {
      pending.done(log_.status());
    }
    return true;
  }
  std::vector<eventlog::HostEvent> events;
  for (const Pending& pending : batch) {
    events.push_back(pending.event);
  }
  const HostLog::Appended appended = log_.Append(events, between);
  on_log_();
  for (size_t i = 0; i < batch.size(); ++i) {
    if (appended.status.ok()) {
      batch[i].done(log_.head());
    } else if (appended.first == 0) {
      batch[i].done(appended.status);
    } else {
      batch[i].record = appended.first + i;
      const MutexLock lock(mutex_);
      written_.push_back(std::move(batch[i]));
    }
  }
  return IsTheTpms(appended.status) ? absl::StatusOr<bool>(appended.status)
                                    : true;
}

MonotonicTime LogQueue::FirstDeadline() const {
  const MutexLock lock(mutex_);
  MonotonicTime first = MonotonicTime::max();
  for (const Batch* batch : {&queue_, &written_}) {
    for (const Pending& pending : *batch) {
      first = std::min(first, pending.deadline);
    }
  }
  return first;
}

void LogQueue::FailExpired(MonotonicTime now) {
  Batch expired;
  {
    const MutexLock lock(mutex_);
    for (Batch* batch : {&queue_, &written_}) {
      const auto late = std::stable_partition(
          batch->begin(), batch->end(),
          [&](const Pending& pending) { return pending.deadline >= now; });
      std::move(late, batch->end(), std::back_inserter(expired));
      batch->erase(late, batch->end());
    }
  }
  for (const Pending& pending : expired) {
    pending.done(absl::DeadlineExceededError(
        "the host event log did not get to it in time"));
  }
}

void LogQueue::FailAll(const absl::Status& status) {
  Batch all;
  {
    const MutexLock lock(mutex_);
    all.swap(written_);
    std::move(queue_.begin(), queue_.end(), std::back_inserter(all));
    queue_.clear();
  }
  for (const Pending& pending : all) {
    pending.done(status);
  }
}

}  // namespace vmattest::signing
