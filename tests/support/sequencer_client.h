#ifndef VMATTEST_TESTS_SUPPORT_SEQUENCER_CLIENT_H_
#define VMATTEST_TESTS_SUPPORT_SEQUENCER_CLIENT_H_

#include <future>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "ledger/sequencer.h"
#include "support/ledger_rig.h"

namespace vmattest::testing {

// Until it is committed, refused or failed.
inline absl::StatusOr<ledger::Sequencer::Submitted> SubmitAndWait(
    ledger::Sequencer& sequencer, Bytes entry) {
  std::promise<absl::StatusOr<ledger::Sequencer::Submitted>> promise;
  auto future = promise.get_future();
  RETURN_IF_ERROR(sequencer.Submit(
      std::move(entry),
      [&promise](absl::StatusOr<ledger::Sequencer::Submitted> got) {
        promise.set_value(std::move(got));
      }));
  return future.get();
}

// A log over a store with its sequencer, as a ledger node has them.
class SequencedLog {
 public:
  SequencedLog(ledger::LogStore& store, const LedgerRig& rig,
               const std::string& self, ledger::Log::Trusted trusted = {})
      : log_(
            ledger::Log::Open(store, rig.Policy(), std::move(trusted)).value()),
        sequencer_(*log_, checkers_, clock_, {.self = self}) {}
  [[nodiscard]] ledger::Log& log() { return *log_; }
  [[nodiscard]] ledger::Sequencer& sequencer() { return sequencer_; }
  absl::StatusOr<ledger::Sequencer::Submitted> Submit(const Bytes& entry) {
    return SubmitAndWait(sequencer_, entry);
  }

 private:
  const SystemClock clock_;
  ThreadPool checkers_{"ledger-check", 2, 1'000};
  std::unique_ptr<ledger::Log> log_;
  ledger::Sequencer sequencer_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_SEQUENCER_CLIENT_H_
