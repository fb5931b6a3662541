#include "etcd/commit.h"

#include <thread>

#include "fmt/format.h"

namespace vmattest::etcd {
namespace {

constexpr std::chrono::milliseconds kPause{50};

const Put* FindPut(const GuardedTransaction& transaction,
                   const std::string& key) {
  for (const auto& write : transaction.writes) {
    const Put* put = std::get_if<Put>(&write);
    if (put != nullptr && put->key == key) {
      return put;
    }
  }
  return nullptr;
}

// Its own revision if the marker says that it was done.
absl::StatusOr<Outcome> LookForMarker(KeyValues& store, const Put& marker,
                                      MonotonicTime deadline) {
  ASSIGN_OR_RETURN(const RangeResult found,
                   store.Range({.key = marker.key}, deadline));
  if (!found.kvs.empty() && found.kvs[0].value == marker.value) {
    return Outcome{.done = true, .revision = found.kvs[0].mod_revision};
  }
  return Outcome{.done = false, .revision = found.revision};
}

// Callers read "not done" from other codes.
absl::Status StillUnknown(const absl::Status& status) {
  const absl::Status unknown =
      IsUnknownOutcome(status) || absl::IsDataLoss(status)
          ? status
          : absl::UnavailableError(status.message());
  return Annotate(unknown, "nobody knows whether it was written");
}

absl::Status Conflict(const GuardedTransaction& transaction) {
  return absl::AbortedError(
      fmt::format("{} changed meanwhile", Printable(transaction.guard)));
}

}  // namespace

bool IsUnknownOutcome(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

absl::StatusOr<Outcome> Commit(KeyValues& store,
                               const GuardedTransaction& transaction,
                               MonotonicTime deadline) {
  const Put* marker = FindPut(transaction, transaction.marker);
  if (marker == nullptr || FindPut(transaction, transaction.guard) == nullptr) {
    return absl::InternalError("a guarded transaction without its guard");
  }
  Transaction wire{transaction.more, transaction.writes};
  wire.conditions.push_back({.key = transaction.guard,
                             .of = Condition::Of::kModRevision,
                             .revision = transaction.guard_revision});
  for (bool unknown = false;; unknown = true) {
    const absl::StatusOr<Outcome> outcome = store.Transact(wire, deadline);
    if (outcome.ok() && (outcome->done || !unknown)) {
      return outcome->done ? outcome : Conflict(transaction);
    }
    // etcd does the write that fills its quota, and says that it is full.
    const bool full = absl::IsResourceExhausted(outcome.status());
    if (!outcome.ok() && !full && !IsUnknownOutcome(outcome.status())) {
      return unknown ? StillUnknown(outcome.status()) : outcome.status();
    }
    const absl::StatusOr<Outcome> marked =
        LookForMarker(store, *marker, deadline);
    if (marked.ok() && marked->done) {
      return marked;
    }
    if (full && marked.ok() && !unknown) {
      return outcome.status();
    }
    if (outcome.ok() && marked.ok()) {
      // The guard has moved on, so an earlier try can not be done any more.
      return Conflict(transaction);
    }
    if (full || (!marked.ok() && !IsUnknownOutcome(marked.status())) ||
        std::chrono::steady_clock::now() >= deadline) {
      return StillUnknown(marked.ok() ? outcome.status() : marked.status());
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace vmattest::etcd
