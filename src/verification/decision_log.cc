#include "verification/decision_log.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace vmattest::verification {

DecisionLog::DecisionLog(VerifierStore& store, const Options& options,
                         Listener listener)
    : store_(store), options_(options), listener_(std::move(listener)) {}

absl::StatusOr<uint64_t> DecisionLog::Append(DecisionEntry decision,
                                             Bytes evidence) {
  Waiting own{.write = {std::move(decision), std::move(evidence)}};
  {
    const MutexLock lock(mutex_);
    if (waiting_.size() >= options_.max_waiting) {
      return absl::ResourceExhaustedError(
          fmt::format("{} decisions wait for the store", waiting_.size()));
    }
    waiting_.push_back(&own);
  }
  while (true) {
    std::vector<Waiting*> batch;
    {
      const MutexLock lock(mutex_);
      while (writing_ && !own.done) {
        written_.Wait(mutex_);
      }
      if (own.done) {
        break;
      }
      writing_ = true;
      const auto end =
          waiting_.begin() + static_cast<ptrdiff_t>(std::min(
                                 waiting_.size(), VerifierStore::kMostAtOnce));
      batch.assign(waiting_.begin(), end);
      waiting_.erase(waiting_.begin(), end);
    }
    WriteAll(std::move(batch));
  }
  if (own.result.ok()) {
    own.write.decision.sequence = *own.result;
    Tell(own.write.decision);
  }
  return own.result;
}

// Whoever comes first writes for those that wait by then.
void DecisionLog::WriteAll(std::vector<Waiting*> batch) {
  std::vector<VerifierStore::DecisionWrite> writes;
  writes.reserve(batch.size());
  for (Waiting* waiting : batch) {
    writes.push_back(
        {waiting->write.decision, std::move(waiting->write.evidence)});
  }
  const absl::StatusOr<uint64_t> first =
      store_.Append(writes, options_.keep_evidence);
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < batch.size(); ++i) {
    if (first.ok()) {
      batch[i]->result = *first + i;
      ++(batch[i]->write.decision.trusted ? counters_.trusted
                                          : counters_.refused);
    } else {
      batch[i]->result = first.status();
      ++counters_.failed;
    }
    batch[i]->done = true;
  }
  writing_ = false;
  written_.NotifyAll();
}

void DecisionLog::Stored(uint64_t sequence, DecisionEntry event) {
  event.sequence = sequence;
  Tell(event);
}

void DecisionLog::Tell(const DecisionEntry& decision) {
  if (listener_) {
    listener_(decision);
  }
  Wake(decision.sequence);
}

void DecisionLog::Wake(uint64_t sequence) {
  const MutexLock lock(watch_mutex_);
  told_ = std::max(told_, sequence);
  for (const auto& [id, wake] : watchers_) {
    wake();
  }
}

absl::StatusOr<std::unique_ptr<DecisionLog::Watch>> DecisionLog::Subscribe(
    std::function<void()> wake) {
  const MutexLock lock(watch_mutex_);
  if (watchers_.size() >= options_.max_watchers) {
    return absl::ResourceExhaustedError(
        fmt::format("{} watch already", watchers_.size()));
  }
  const uint64_t id = next_watch_++;
  watchers_.emplace(id, std::move(wake));
  return std::unique_ptr<Watch>(new Watch(*this, id));
}

DecisionLog::Watch::~Watch() {
  const MutexLock lock(log_.watch_mutex_);
  log_.watchers_.erase(id_);
}

absl::Status DecisionLog::Trim() {
  RETURN_IF_ERROR(store_.Trim(options_.keep_decisions));
  ASSIGN_OR_RETURN(const uint64_t newest, store_.LastSequence());
  bool news = false;
  {
    const MutexLock lock(watch_mutex_);
    news = newest > told_;
  }
  if (news) {
    Wake(newest);
  }
  return absl::OkStatus();
}

DecisionLog::Counters DecisionLog::counters() const {
  Counters counters;
  {
    const MutexLock lock(mutex_);
    counters = counters_;
  }
  const MutexLock lock(watch_mutex_);
  counters.watchers = watchers_.size();
  return counters;
}

}  // namespace vmattest::verification
