#include "capture/comparer.h"

#include "base/log.h"
#include "baseline/reason_codes.h"
#include "wire/codec.h"

namespace vmattest::capture {
namespace {

constexpr std::chrono::seconds kLimit{20};

bool IsUnproved(const SnapshotVerdict& verdict) {
  return !verdict.failures.empty() &&
         verdict.failures.front().code == baseline::reason::kDeltaUnproved;
}

}  // namespace

std::optional<SnapshotResult> ResultOf(const CapturedSnapshot& captured,
                                       const SnapshotVerdict& verdict) {
  const evidence::StateStatement& statement = captured.record.statement;
  if (verdict.lacks_baseline() ||
      (verdict.trusted && statement.cause != kScheduled)) {
    return std::nullopt;
  }
  return SnapshotResult{
      statement.header.vm_uuid, verdict.trusted,
      verdict.failures.empty() ? "" : verdict.failures.front().code,
      captured.evidence, verdict.ear};
}

void Comparer::Captured(const CapturedSnapshot& captured,
                        const snapshot::Policy& policy) {
  const absl::Status queued = parts_.work.Submit(
      [this, captured, policy, since = parts_.clock.Monotonic()] {
        Told(captured, policy, Compare(captured, since));
      });
  if (!queued.ok()) {
    Told(captured, policy, queued);
  }
}

absl::StatusOr<SnapshotVerdict> Comparer::Walk(
    const CapturedSnapshot& captured, const evidence::SnapshotPages& pages,
    uint32_t prefix) {
  ASSIGN_OR_RETURN(
      const std::unique_ptr<StateVerifier::Comparison> comparison,
      parts_.verifier.Begin(captured.evidence, captured.guest_report,
                            parts_.clock.Monotonic() + kLimit));
  if (comparison->verdict()) {
    return *comparison->verdict();
  }
  ASSIGN_OR_RETURN(const baseline::Delta delta,
                   MakeDelta(comparison->against(), captured.record.statement,
                             pages, *comparison, prefix));
  return comparison->Finish(delta);
}

absl::StatusOr<SnapshotVerdict> Comparer::Compare(
    const CapturedSnapshot& captured, MonotonicTime since) {
  if (stopping_) {
    return absl::CancelledError("stopping");
  }
  if (parts_.clock.Monotonic() - since > kLongestWait) {
    return absl::UnavailableError("others before it took too long");
  }
  ASSIGN_OR_RETURN(const Uuid vm,
                   ParseUuid(captured.record.statement.header.vm_uuid));
  ASSIGN_OR_RETURN(const Bytes file,
                   parts_.store.Pages(vm, captured.record.id));
  ASSIGN_OR_RETURN(const evidence::SnapshotPages pages,
                   wire::ParseSnapshotPages(file));
  ASSIGN_OR_RETURN(SnapshotVerdict verdict,
                   Walk(captured, pages, baseline::kShortPrefix));
  // Two pages that are alike in their first bytes and not in the rest.
  return IsUnproved(verdict) ? Walk(captured, pages, 0) : verdict;
}

void Comparer::Told(const CapturedSnapshot& captured,
                    const snapshot::Policy& policy,
                    const absl::StatusOr<SnapshotVerdict>& verdict) {
  const evidence::StatementHeader& header = captured.record.statement.header;
  if (!verdict.ok()) {
    ++failed_;
    log::Warning("a snapshot was not compared",
                 {{"vm", header.vm_name},
                  {"snapshot", captured.record.id},
                  {"why", verdict.status().ToString()}});
    return;
  }
  if (verdict->lacks_baseline()) {
    ++no_baseline_;
    log::Info("a snapshot has nothing to be compared with",
              {{"vm", header.vm_name},
               {"snapshot", captured.record.id},
               {"why", verdict->failures.front().code}});
    return;
  }
  ++(verdict->trusted ? trusted_ : refused_);
  const std::optional<SnapshotResult> result = ResultOf(captured, *verdict);
  if (result && parts_.result) {
    parts_.result(*result);
  }
  parts_.reactor.React({header.vm_uuid, header.vm_name,
                        captured.record.statement.run, captured.record.id},
                       policy, *verdict);
}

}  // namespace vmattest::capture
