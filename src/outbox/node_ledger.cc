#include "outbox/node_ledger.h"

#include <memory>
#include <utility>

#include "base/mutex.h"

namespace vmattest::outbox {
namespace {

// Outlives the caller that gave up.
struct Pending {
  Mutex mutex;
  CondVar changed;
  std::optional<absl::StatusOr<ledger::Sequencer::Submitted>> got
      GUARDED_BY(mutex);
};

}  // namespace

absl::StatusOr<LedgerPort::Answer> NodeLedger::Submit(const Bytes& entry,
                                                      MonotonicTime deadline) {
  const auto pending = std::make_shared<Pending>();
  RETURN_IF_ERROR(node_.Submit(
      entry, [pending](absl::StatusOr<ledger::Sequencer::Submitted> submitted) {
        const MutexLock lock(pending->mutex);
        pending->got = std::move(submitted);
        pending->changed.NotifyAll();
      }));
  const MutexLock lock(pending->mutex);
  while (!pending->got) {
    if (!pending->changed.WaitUntil(pending->mutex, deadline)) {
      break;
    }
  }
  if (!pending->got) {
    return absl::DeadlineExceededError("the ledger did not answer in time");
  }
  RETURN_IF_ERROR(pending->got->status());
  const ledger::Sequencer::Submitted& submitted = **pending->got;
  return Answer{.refusal = submitted.refusal,
                .index = submitted.index,
                .time_ms = submitted.time_ms};
}

LedgerPort::Writer WriterIn(const ledger::LogState& state,
                            const std::string& writer) {
  LedgerPort::Writer found;
  if (const ledger::Writer* const known = state.FindWriter(writer)) {
    found.sequence = known->sequence;
    found.last_hash = known->last_hash;
    found.authorised = known->key != nullptr && !known->revoked;
    found.key_spki = known->key_spki;
  }
  if (const trust::HostState* const host = state.fold().FindHost(writer)) {
    found.tick = host->ticks;
  }
  for (const Uuid& vm : state.fold().VmsOf(writer)) {
    if (state.fold().FindVm(vm)->running) {
      found.running.push_back(vm);
    }
  }
  return found;
}

absl::StatusOr<LedgerPort::Writer> NodeLedger::GetWriter(
    const std::string& writer, MonotonicTime /*deadline*/) {
  return node_.log().With([&writer](const ledger::LogState& state) {
    return WriterIn(state, writer);
  });
}

absl::StatusOr<LedgerPort::Vm> NodeLedger::GetVm(const Uuid& vm,
                                                 MonotonicTime /*deadline*/) {
  ASSIGN_OR_RETURN(ledger::LedgerNode::Trust trust, node_.GetScore(vm));
  const trust::VmState& state = trust.reading.vm;
  return Vm{.newest_hash = std::move(trust.newest_hash),
            .home = state.host,
            .leaving_to = state.leaving_to,
            .epoch = state.epoch,
            .running = state.running};
}

absl::StatusOr<LedgerPort::Size> NodeLedger::GetSize(
    MonotonicTime /*deadline*/) {
  return Size{.committed = node_.log().head().size,
              .witnessed = node_.checkpoint().witnessed};
}

}  // namespace vmattest::outbox
