#ifndef VMATTEST_LEDGER_TIMED_WITNESS_H_
#define VMATTEST_LEDGER_TIMED_WITNESS_H_

#include <memory>
#include <vector>

#include "base/clock.h"
#include "ledger/checkpointer.h"
#include "tlog/policy.h"
#include "tlog/witness.h"

namespace vmattest::ledger {

// A witness of ledgers that knows what time they have: it cosigns a checkpoint
// only with its newest record, and none whose ledger time is of the future
// (rule S30). Callable from any thread; blocks for the store.
class TimedWitness {
 public:
  // Of the logs that `policy` names. `store` and `clock` outlive it.
  TimedWitness(const tlog::WitnessPolicy& policy,
               std::vector<std::unique_ptr<tlog::NoteSigner>> signers,
               tlog::WitnessStore& store, const Clock& clock,
               int64_t max_skew_ms);

  // 422 also if the record is not the checkpoint's newest, or of the future.
  // Errors as tlog::Witness::Add.
  absl::StatusOr<tlog::WitnessReply> Add(const WitnessRequest& request);

 private:
  const Clock& clock_;
  const int64_t max_skew_ms_;
  tlog::Witness witness_;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_TIMED_WITNESS_H_
