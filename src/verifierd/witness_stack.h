#ifndef VMATTEST_VERIFIERD_WITNESS_STACK_H_
#define VMATTEST_VERIFIERD_WITNESS_STACK_H_

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "ledger/timed_witness.h"
#include "tlog/policy.h"

namespace vmattest::verifierd {

// A witness for who keeps no ledger: it cosigns the logs that its policy names.
// In `folder`: ledger-witness.db (what it cosigned), its keys (ledger_keys.h),
// and ledger-witness.policy, their public ones, for policies that ask for it.
// Missing ones are made. Once a log told it two stories of one size,
// ledger-fork.proof, rather of the log `origin` than of another; of two sizes,
// ledger-conflict.held and ledger-conflict.shown, the newest such notes.
// Callable from any thread.
class WitnessStack {
 public:
  struct Options {
    std::filesystem::path folder;  // of state, ours alone
    std::string origin;  // of the host's ledger; keys are named ORIGIN/witness
    tlog::WitnessPolicy policy;
  };
  // FAILED_PRECONDITION: the policy names no log, so there is nothing to
  // cosign. Other errors name the file or key.
  static absl::StatusOr<std::unique_ptr<WitnessStack>> Open(Options options,
                                                            const Clock& clock);
  WitnessStack(const WitnessStack&) = delete;
  WitnessStack& operator=(const WitnessStack&) = delete;
  ~WitnessStack();

  // As TimedWitness. Whoever asks may be who forked the log: a proof is on disk
  // before the answer.
  absl::StatusOr<tlog::WitnessReply> Add(const ledger::WitnessRequest& request);
  // Call every few seconds: logs and writes down notes that contradict what was
  // cosigned, though they prove nothing by themselves. DATA_LOSS: CheckFork of
  // some log.
  absl::Status Tick();
  // DATA_LOSS: that log was forked, and the proof lies in the folder.
  [[nodiscard]] absl::Status CheckFork(const std::string& origin) const;
  [[nodiscard]] bool knows_fork() const;

 private:
  WitnessStack(Options options, std::unique_ptr<tlog::WitnessStore> store,
               std::vector<std::unique_ptr<tlog::NoteSigner>> signers,
               const Clock& clock);
  absl::Status LoadFork();
  void Take(const tlog::WitnessReply& reply);
  absl::Status KeepFork() REQUIRES_LOCK(mutex_);
  absl::Status KeepConflict() REQUIRES_LOCK(mutex_);
  [[nodiscard]] absl::Status Forked() const REQUIRES_LOCK(mutex_);

  const Options options_;
  const std::unique_ptr<tlog::WitnessStore> store_;
  ledger::TimedWitness witness_;
  mutable Mutex mutex_;
  std::optional<std::string> forked_ GUARDED_BY(mutex_);  // its origin
  // What is not on disk yet.
  std::optional<tlog::ForkProof> fork_ GUARDED_BY(mutex_);
  std::optional<tlog::ForkProof> conflict_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_WITNESS_STACK_H_
