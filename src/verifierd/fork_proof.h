#ifndef VMATTEST_VERIFIERD_FORK_PROOF_H_
#define VMATTEST_VERIFIERD_FORK_PROOF_H_

#include <filesystem>
#include <optional>

#include "base/status.h"
#include "tlog/witness.h"

// The proof that a ledger was forked, kept over restarts as ledger-fork.proof
// in a folder of state, for `vmattest ledger check-proof`. Blocks for the disk.

namespace vmattest::verifierd {

std::filesystem::path ForkProofFile(const std::filesystem::path& folder);

// Nothing if there is no such file; errors name it.
absl::StatusOr<std::optional<tlog::ForkProof>> ReadForkProof(
    const std::filesystem::path& folder);

// Logs it, too.
absl::Status KeepForkProof(const std::filesystem::path& folder,
                           const tlog::ForkProof& proof);

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_FORK_PROOF_H_
