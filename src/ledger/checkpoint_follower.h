#ifndef VMATTEST_LEDGER_CHECKPOINT_FOLLOWER_H_
#define VMATTEST_LEDGER_CHECKPOINT_FOLLOWER_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "tlog/policy.h"

namespace vmattest::ledger {

// What somebody who believes no node of a ledger has seen of it: the newest
// checkpoint, which each later one must continue (rule S29), kept in a file.
// Callable from any thread.
class CheckpointFollower {
 public:
  // From `old_size` records to `size`.
  using ReadProof = std::function<absl::StatusOr<std::vector<Bytes>>(
      uint64_t old_size, uint64_t size)>;
  struct Options {
    std::string origin;
    tlog::WitnessPolicy policy;
    // A quorum must have cosigned within it. A policy that asks for nobody's
    // cosignature has no time.
    std::chrono::seconds max_age{60};
    std::filesystem::path file;  // made with the first checkpoint
  };
  // DATA_LOSS: the file is no checkpoint that the policy accepts; it says what
  // to do. Errors of the file name it.
  static absl::StatusOr<std::unique_ptr<CheckpointFollower>> Open(
      Options options, const Clock& clock);

  // The number of records that `note` is over, once it is one to believe.
  // FAILED_PRECONDITION, INVALID_ARGUMENT: it is not, as OpenCheckpoint.
  // DATA_LOSS: it does not continue what was seen: fewer records, or others.
  absl::StatusOr<uint64_t> Take(const std::string& note,
                                const ReadProof& read_proof);

 private:
  CheckpointFollower(Options options, const Clock& clock)
      : options_(std::move(options)), clock_(clock) {}
  absl::StatusOr<tlog::Checkpoint> OpenNote(const std::string& note,
                                            int64_t not_before_unix_s) const;

  const Options options_;
  const Clock& clock_;
  Mutex mutex_;
  std::optional<tlog::Checkpoint> seen_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_CHECKPOINT_FOLLOWER_H_
