#include "ledger/checkpoint_follower.h"

#include <utility>

#include "base/file.h"
#include "fmt/format.h"
#include "vmattest/ledger/light_client.h"

namespace vmattest::ledger {

absl::StatusOr<std::unique_ptr<CheckpointFollower>> CheckpointFollower::Open(
    Options options, const Clock& clock) {
  std::unique_ptr<CheckpointFollower> follower(
      new CheckpointFollower(std::move(options), clock));
  const std::filesystem::path& file = follower->options_.file;
  const absl::StatusOr<Bytes> kept = ReadFile(file, tlog::kMaxNoteSize);
  if (absl::IsNotFound(kept.status())) {
    return follower;
  }
  RETURN_IF_ERROR_WITH(kept.status(), file.string());
  absl::StatusOr<tlog::Checkpoint> seen =
      follower->OpenNote(std::string(AsText(*kept)), 0);
  if (!seen.ok()) {
    return absl::DataLossError(fmt::format(
        "{}: {} (was the policy changed? remove the file to follow the ledger "
        "from what it says now)",
        file.string(), std::string(seen.status().message())));
  }
  const MutexLock lock(follower->mutex_);
  follower->seen_ = *std::move(seen);
  return follower;
}

absl::StatusOr<tlog::Checkpoint> CheckpointFollower::OpenNote(
    const std::string& note, int64_t not_before_unix_s) const {
  ASSIGN_OR_RETURN(
      tlog::AcceptedCheckpoint accepted,
      tlog::OpenCheckpoint(note, options_.policy, not_before_unix_s));
  if (accepted.checkpoint.origin != options_.origin) {
    return absl::FailedPreconditionError(
        fmt::format("a checkpoint of '{}', not of '{}'",
                    accepted.checkpoint.origin, options_.origin));
  }
  return std::move(accepted.checkpoint);
}

absl::StatusOr<uint64_t> CheckpointFollower::Take(const std::string& note,
                                                  const ReadProof& read_proof) {
  const int64_t now = clock_.Now().time_since_epoch().count() / 1'000;
  ASSIGN_OR_RETURN(tlog::Checkpoint newer,
                   OpenNote(note, options_.policy.threshold() == 0
                                      ? 0
                                      : now - options_.max_age.count()));
  const MutexLock lock(mutex_);
  if (seen_ && newer.size < seen_->size) {
    return absl::DataLossError(
        fmt::format("the ledger shows {} records, and had shown {}: it was "
                    "rolled back",
                    newer.size, seen_->size));
  }
  if (seen_ && newer.size == seen_->size && newer.root == seen_->root) {
    return newer.size;
  }
  if (seen_ && newer.size > seen_->size) {
    ASSIGN_OR_RETURN(const std::vector<Bytes> path,
                     read_proof(seen_->size, newer.size));
    if (const absl::Status follows = VerifyContinues(*seen_, newer, path);
        !follows.ok()) {
      return absl::DataLossError(follows.message());
    }
  } else if (seen_) {
    return absl::DataLossError(fmt::format(
        "the ledger shows two checkpoints of {} records: it was forked ({} has "
        "the other)",
        newer.size, options_.file.string()));
  }
  RETURN_IF_ERROR_WITH(WriteFileAtomic(options_.file, AsBytes(note), 0600),
                       options_.file.string());
  seen_ = std::move(newer);
  return seen_->size;
}

}  // namespace vmattest::ledger
