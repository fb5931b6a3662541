#include "outbox/outbox.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "outbox/vm_field.h"
#include "wire/messages.h"

namespace vmattest::outbox {
namespace {

// More than an entry holds come as entries of their own.
constexpr size_t kMaxFailuresOfATick = 256;

v1::LedgerEntryBody BatchOf(std::vector<v1::LedgerVmChange> results) {
  std::sort(results.begin(), results.end(),
            [](const auto& a, const auto& b) { return a.vm_id() < b.vm_id(); });
  v1::LedgerEntryBody body;
  v1::LedgerAttestBatch& batch = *body.mutable_attest_batch();
  std::vector<ledger::VmResult> leaves;
  leaves.reserve(results.size());
  for (v1::LedgerVmChange& result : results) {
    leaves.push_back({.vm = VmOf(result.vm_id()),
                      .outcome = result.outcome(),
                      .evidence_hash = ToBytes(result.evidence_hash())});
    *batch.add_changes() = std::move(result);
  }
  batch.set_vm_count(static_cast<uint32_t>(leaves.size()));
  batch.set_results_root(wire::ToField(ledger::ResultsRoot(std::move(leaves))));
  return body;
}

bool Failed(const v1::LedgerVmChange& result) {
  return result.outcome() == v1::LEDGER_OUTCOME_FAIL;
}

bool SameVms(const v1::LedgerAttestBatch& a, const v1::LedgerAttestBatch& b) {
  return std::equal(a.changes().begin(), a.changes().end(), b.changes().begin(),
                    b.changes().end(), [](const auto& x, const auto& y) {
                      return x.vm_id() == y.vm_id();
                    });
}

// Nothing of it would be missed.
bool SaysNothingNew(const v1::LedgerAttestBatch& batch) {
  return std::none_of(batch.changes().begin(), batch.changes().end(),
                      [](const v1::LedgerVmChange& result) {
                        return Failed(result) ||
                               !result.evidence_hash().empty();
                      });
}

// The VMs of both; whoever failed in either failed.
v1::LedgerEntryBody Merge(const v1::LedgerAttestBatch& older,
                          const v1::LedgerAttestBatch& newer) {
  std::map<std::string, v1::LedgerVmChange> all;
  for (const v1::LedgerVmChange& result : newer.changes()) {
    all[result.vm_id()] = result;
  }
  for (const v1::LedgerVmChange& result : older.changes()) {
    if (Failed(result)) {
      all[result.vm_id()] = result;
    }
  }
  std::vector<v1::LedgerVmChange> results;
  results.reserve(all.size());
  for (auto& [id, result] : all) {
    results.push_back(std::move(result));
  }
  return BatchOf(std::move(results));
}

}  // namespace

Outbox::Outbox(Parts parts, Options options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      mirror_(parts_.ledger),
      maker_(options_.origin, parts_.key, mirror_),
      thread_([this] { Run(); }) {}

Outbox::~Outbox() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

int64_t Outbox::NowMs() const {
  return parts_.clock.Now().time_since_epoch().count();
}

void Outbox::Kick() {
  const MutexLock lock(mutex_);
  work_ = true;
  changed_.NotifyAll();
}

bool Outbox::IsFull() const {
  return parts_.file.waiting() >= options_.max_queued;
}

absl::StatusOr<int64_t> Outbox::Launch(const v1::LedgerLaunchDecision& decision,
                                       bool awaited) {
  v1::LedgerEntryBody body;
  *body.mutable_launch_decision() = decision;
  const MutexLock adding(add_);
  const bool full = IsFull();
  if (full && decision.allowed()) {
    return absl::ResourceExhaustedError(
        fmt::format("{} entries wait for the ledger", options_.max_queued));
  }
  if (full) {
    const Uuid vm = VmOf(decision.vm_id());
    ASSIGN_OR_RETURN(
        const std::optional<OutboxFile::Queued> waits,
        parts_.file.NewestUnsigned(v1::LedgerEntryBody::kLaunchDecision, &vm));
    if (waits && !waits->body.launch_decision().allowed()) {
      RETURN_IF_ERROR(parts_.file.Replace(waits->id, NowMs(), body));
      const MutexLock lock(mutex_);
      ++merged_;
      return waits->id;
    }
  }
  // Nothing is told before it is known who waits for it.
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const int64_t id, parts_.file.Add(NowMs(), body));
  if (awaited) {
    awaited_.try_emplace(id);
    hurry_ = true;
  }
  work_ = true;
  changed_.NotifyAll();
  return id;
}

absl::Status Outbox::Result(const v1::LedgerAttestResult& result) {
  v1::LedgerEntryBody body;
  *body.mutable_attest_result() = result;
  const MutexLock adding(add_);
  if (result.outcome() == v1::LEDGER_OUTCOME_PASS) {
    if (IsFull()) {
      return absl::ResourceExhaustedError(
          fmt::format("{} entries wait for the ledger", options_.max_queued));
    }
  }
  RETURN_IF_ERROR(parts_.file.Add(NowMs(), body).status());
  Kick();
  return absl::OkStatus();
}

absl::StatusOr<bool> Outbox::Tick(std::vector<v1::LedgerVmChange> results) {
  const int64_t now = NowMs();
  const auto failures = static_cast<size_t>(
      std::count_if(results.begin(), results.end(), Failed));
  const bool idle = results.empty();
  const MutexLock adding(add_);
  if (failures == 0 && now >= last_tick_ms_ &&
      (now - last_tick_ms_ < options_.batch_interval.count() ||
       (idle && idle_))) {
    return false;
  }
  for (size_t i = 0, kept = 0; i < results.size(); ++i) {
    if (!Failed(results[i]) || ++kept <= kMaxFailuresOfATick) {
      continue;
    }
    v1::LedgerEntryBody body;
    v1::LedgerAttestResult& own = *body.mutable_attest_result();
    own.set_vm_id(results[i].vm_id());
    own.set_outcome(results[i].outcome());
    own.set_check(results[i].check());
    own.set_reason(results[i].reason());
    own.set_evidence_hash(results[i].evidence_hash());
    RETURN_IF_ERROR(parts_.file.Add(now, body).status());
    results.erase(results.begin() + static_cast<ptrdiff_t>(i--));
  }
  RETURN_IF_ERROR(AddTick(now, BatchOf(std::move(results)), failures > 0));
  last_tick_ms_ = now;
  idle_ = idle;
  Kick();
  return true;
}

// A tick without failures takes the place of one that still waits and says the
// same: its run is counted by the ledger.
absl::Status Outbox::AddTick(int64_t now, const v1::LedgerEntryBody& body,
                             bool failed) {
  ASSIGN_OR_RETURN(
      const std::optional<OutboxFile::Queued> waits,
      parts_.file.NewestUnsigned(v1::LedgerEntryBody::kAttestBatch));
  if (waits) {
    const bool full = IsFull();
    const v1::LedgerAttestBatch& older = waits->body.attest_batch();
    const v1::LedgerAttestBatch& newer = body.attest_batch();
    const bool same = !failed && SaysNothingNew(older) && SameVms(older, newer);
    if (same || full) {
      const absl::Status replaced = parts_.file.Replace(
          waits->id, now, same ? body : Merge(older, newer));
      if (!absl::IsNotFound(replaced)) {
        const MutexLock lock(mutex_);
        ++merged_;
        return replaced;
      }
    }
  }
  return parts_.file.Add(now, body).status();
}

absl::Status Outbox::Event(const v1::LedgerNotice& notice) {
  v1::LedgerEntryBody body;
  *body.mutable_notice() = notice;
  const MutexLock adding(add_);
  if (IsFull()) {
    const MutexLock lock(mutex_);
    ++dropped_;
    return absl::ResourceExhaustedError("the event is not on the ledger");
  }
  RETURN_IF_ERROR(parts_.file.Add(NowMs(), body).status());
  Kick();
  return absl::OkStatus();
}

absl::Status Outbox::AwaitCommitted(int64_t id, MonotonicTime deadline) {
  const MutexLock lock(mutex_);
  while (!awaited_.at(id) && !stopping_) {
    if (!changed_.WaitUntil(mutex_, deadline)) {
      break;
    }
  }
  const std::optional<absl::Status> told = awaited_.at(id);
  awaited_.erase(id);
  return told ? *told
              : absl::DeadlineExceededError(
                    "the entry is queued and not on the ledger yet");
}

void Outbox::Tell(int64_t id, const absl::Status& what) {
  const MutexLock lock(mutex_);
  if (const auto it = awaited_.find(id); it != awaited_.end()) {
    it->second = what;
    changed_.NotifyAll();
  }
}

void Outbox::SetProblem(const absl::Status& problem) {
  const MutexLock lock(mutex_);
  problem_ = problem;
}

Outbox::State Outbox::state() {
  State state;
  absl::StatusOr<OutboxFile::Counts> counts = parts_.file.Count();
  absl::Status problem;
  absl::Status lost;
  {
    const MutexLock lock(mutex_);
    state.sent = sent_;
    state.merged = merged_;
    state.dropped = dropped_;
    state.resent = resent_;
    problem = problem_;
    lost = lost_;
  }
  if (!counts.ok()) {
    state.health = counts.status();
    return state;
  }
  state.counts = *std::move(counts);
  if (state.counts.waiting > 0) {
    state.oldest_age_ms =
        std::max<int64_t>(0, NowMs() - state.counts.oldest_ms);
  }
  if (!lost.ok()) {
    state.health = lost;
  } else if (!problem.ok()) {
    state.health = absl::Status(
        problem.code(),
        fmt::format(
            "{} {} for the ledger, the oldest since {} s{}: {}",
            state.counts.waiting,
            state.counts.waiting == 1 ? "entry waits" : "entries wait",
            state.oldest_age_ms / 1000,
            state.counts.waiting >= options_.max_queued ? " (full)" : "",
            std::string(problem.message())));
  }
  return state;
}

}  // namespace vmattest::outbox
