#include "ledger/sequencer.h"

#include <pthread.h>

#include <set>
#include <utility>

namespace vmattest::ledger {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How much of the queue is looked through for a batch, in batches.
constexpr size_t kLookAhead = 16;

}  // namespace

Sequencer::Sequencer(Log& log, Executor& checkers, const Clock& clock,
                     Options options)
    : log_(log),
      checkers_(checkers),
      clock_(clock),
      options_(std::move(options)),
      guard_(clock, log.policy().max_skew_ms),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "ledger");
}

Sequencer::~Sequencer() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
  std::deque<Slot> left;
  {
    const MutexLock lock(mutex_);
    while (checking_ > 0) {
      changed_.Wait(mutex_);
    }
    left.swap(queue_);
  }
  for (const Slot& slot : left) {
    slot->done(absl::UnavailableError("the ledger node is shutting down"));
  }
  log_.store().Resign().IgnoreError();
}

absl::Status Sequencer::Submit(Bytes entry, Done done) {
  ASSIGN_OR_RETURN(Entry parsed, ParseEntry(std::move(entry)));
  const Slot slot = std::make_shared<Waiting>();
  slot->checked.entry = std::move(parsed);
  slot->checked.key = log_.With(
      [&](const LogState& state) { return state.KeyFor(slot->checked.entry); });
  slot->done = std::move(done);
  RETURN_IF_ERROR(Enqueue(slot));
  const absl::Status handed =
      checkers_.Submit([this, slot] { CheckOne(slot); });
  if (!handed.ok()) {
    const MutexLock lock(mutex_);
    std::erase(queue_, slot);
    --checking_;
    changed_.NotifyAll();
  }
  return handed;
}

absl::Status Sequencer::SubmitMade(Make make, Done done) {
  const Slot slot = std::make_shared<Waiting>();
  slot->make = std::move(make);
  slot->done = std::move(done);
  slot->ready = true;
  RETURN_IF_ERROR(Enqueue(slot));
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status Sequencer::Enqueue(const Slot& slot) {
  const MutexLock lock(mutex_);
  if (stopping_) {
    return absl::UnavailableError("the ledger node is shutting down");
  }
  if (queue_.size() >= options_.max_queued) {
    return absl::ResourceExhaustedError("too many entries wait");
  }
  queue_.push_back(slot);
  ++(slot->ready ? ready_ : checking_);
  return absl::OkStatus();
}

void Sequencer::CheckOne(const Slot& slot) {
  std::optional<Reason> refusal = ledger::CheckSignature(
      log_.policy(), slot->checked.entry, slot->checked.key);
  const MutexLock lock(mutex_);
  slot->refusal = std::move(refusal);
  slot->ready = true;
  --checking_;
  ++ready_;
  // Not for each: the thread would wake for nothing.
  if (ready_ == 1 || ready_ >= options_.most || checking_ == 0) {
    changed_.NotifyAll();
  }
}

Leadership Sequencer::leadership() const {
  const MutexLock lock(mutex_);
  return leadership_;
}

Sequencer::Stats Sequencer::stats() const {
  const MutexLock lock(mutex_);
  Stats stats = stats_;
  stats.queued = queue_.size();
  return stats;
}

void Sequencer::Renew() {
  if (SteadyClock::now() < renew_at_) {
    return;
  }
  const absl::StatusOr<Leadership> got = log_.store().Lead(options_.self);
  renew_at_ = SteadyClock::now() + log_.store().LeaseInterval();
  bool began = false;
  {
    const MutexLock lock(mutex_);
    began = got.ok() && got->mine && !leadership_.mine;
    leadership_ = got.ok() ? *got : Leadership();
    lead_error_ = got.status();
  }
  if (began) {
    log_.CatchUp().IgnoreError();  // what does not fit shows in Append
  }
}

absl::Status Sequencer::MayLead() const {
  const MutexLock lock(mutex_);
  if (leadership_.mine) {
    return absl::OkStatus();
  }
  if (lead_error_.ok()) {
    return absl::AbortedError("another node leads the ledger");
  }
  return absl::IsDataLoss(lead_error_)
             ? lead_error_
             : absl::UnavailableError(lead_error_.message());
}

// False: shutting down.
bool Sequencer::WaitForWork() {
  while (!stopping_ && ready_ == 0) {
    if (!changed_.WaitUntil(mutex_, renew_at_)) {
      return !stopping_;
    }
  }
  const auto until = SteadyClock::now() + options_.gather;
  while (!stopping_ && checking_ > 0 && ready_ < options_.most &&
         changed_.WaitUntil(mutex_, until)) {
  }
  return !stopping_;
}

// In the order they came; none overtakes another of its writer.
std::vector<Sequencer::Slot> Sequencer::Pick() {
  std::vector<Slot> batch;
  std::set<std::string> blocked;
  const size_t look = std::min(queue_.size(), kLookAhead * options_.most);
  size_t kept = 0;
  size_t at = 0;
  for (; at < look && batch.size() < options_.most; ++at) {
    Slot& slot = queue_[at];
    if (slot->make) {
      if (kept == 0 && batch.empty()) {
        batch.push_back(std::move(queue_[at++]));
      }
      break;
    }
    const bool first = blocked.insert(slot->checked.entry.Writer()).second;
    if (first && slot->ready) {
      batch.push_back(std::move(slot));
    } else if (kept++ != at) {
      queue_[kept - 1] = std::move(slot);
    }
  }
  queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(kept),
               queue_.begin() + static_cast<ptrdiff_t>(at));
  ready_ -= batch.size();
  return batch;
}

void Sequencer::PutBack(const std::vector<Slot>& slots) {
  queue_.insert(queue_.begin(), slots.begin(), slots.end());
  ready_ += slots.size();
}

void Sequencer::Run() {
  while (true) {
    Renew();
    guard_.Check().IgnoreError();  // it has to see the clock often
    std::vector<Slot> batch;
    {
      const MutexLock lock(mutex_);
      if (!WaitForWork()) {
        return;
      }
      batch = Pick();
    }
    if (!batch.empty()) {
      CommitBatch(batch);
    }
  }
}

void Sequencer::Finish(const Slot& slot, absl::StatusOr<Submitted> result) {
  {
    const MutexLock lock(mutex_);
    if (!result.ok()) {
      ++stats_.failed;
    } else if (result->refusal) {
      ++stats_.refused;
    } else {
      ++stats_.committed;
    }
  }
  slot->done(std::move(result));
}

std::vector<Sequencer::Slot> Sequencer::FinishRefused(
    const std::vector<Slot>& batch) {
  std::vector<WriterKey> now;
  log_.With([&](const LogState& state) {
    for (const Slot& slot : batch) {
      now.push_back(state.KeyFor(slot->checked.entry));
    }
  });
  std::vector<Slot> good;
  for (size_t i = 0; i < batch.size(); ++i) {
    const Slot& slot = batch[i];
    CheckedEntry& checked = slot->checked;
    // It may have changed since, or this node did not know it yet.
    if (now[i].host != checked.key.host ||
        now[i].generation != checked.key.generation) {
      checked.key = now[i];
      slot->refusal =
          ledger::CheckSignature(log_.policy(), checked.entry, checked.key);
    }
    if (slot->refusal) {
      Finish(slot,
             Submitted{.refusal = slot->refusal, .hash = checked.entry.hash});
    } else {
      good.push_back(slot);
    }
  }
  return good;
}

// Once more if this node has only not read all there is.
void Sequencer::FinishFailed(const std::vector<Slot>& batch,
                             const absl::Status& why) {
  bool again = false;
  if (absl::IsAborted(why)) {
    again = log_.CatchUp().ok();
    renew_at_ = {};  // who leads now?
    Renew();
    again = again && MayLead().ok();
  }
  std::vector<Slot> back;
  for (const Slot& slot : batch) {
    if (again && !std::exchange(slot->again, true)) {
      back.push_back(slot);
    } else {
      Finish(slot, why);
    }
  }
  const MutexLock lock(mutex_);
  PutBack(back);
}

absl::Status Sequencer::MakeEntry(const Slot& slot) {
  ASSIGN_OR_RETURN(const Bytes bytes, slot->make(log_));
  ASSIGN_OR_RETURN(slot->checked.entry, ParseEntry(bytes));
  slot->checked.key = log_.With(
      [&](const LogState& state) { return state.KeyFor(slot->checked.entry); });
  slot->refusal = ledger::CheckSignature(log_.policy(), slot->checked.entry,
                                         slot->checked.key);
  return absl::OkStatus();
}

void Sequencer::CommitBatch(const std::vector<Slot>& batch) {
  absl::Status may = MayLead();
  if (!may.ok()) {
    renew_at_ = {};  // perhaps nobody does any more
    Renew();
    may = MayLead();
  }
  if (may.ok()) {
    may = guard_.Check();
  }
  if (may.ok() && batch.front()->make) {
    may = MakeEntry(batch.front());
  }
  const std::vector<Slot> good = may.ok() ? FinishRefused(batch) : batch;
  if (!may.ok()) {
    for (const Slot& slot : good) {
      Finish(slot, may);
    }
    return;
  }
  if (good.empty()) {
    return;
  }
  std::vector<const CheckedEntry*> entries;
  entries.reserve(good.size());
  for (const Slot& slot : good) {
    entries.push_back(&slot->checked);
  }
  const absl::StatusOr<std::vector<Outcome>> outcomes =
      log_.Append(entries, clock_.Now());
  if (!outcomes.ok()) {
    FinishFailed(good, outcomes.status());
    return;
  }
  std::vector<Slot> again;
  for (size_t i = 0; i < good.size(); ++i) {
    const Outcome& outcome = outcomes->at(i);
    if (!outcome.refusal && !outcome.index) {
      again.push_back(good[i]);
      continue;
    }
    Finish(good[i], Submitted{.refusal = outcome.refusal,
                              .index = outcome.index.value_or(0),
                              .time_ms = outcome.time_ms,
                              .hash = good[i]->checked.entry.hash});
  }
  const MutexLock lock(mutex_);
  ++stats_.batches;
  PutBack(again);
}

}  // namespace vmattest::ledger
