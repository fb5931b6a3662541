#ifndef VMATTEST_VERIFIERD_LEDGER_KEYS_H_
#define VMATTEST_VERIFIERD_LEDGER_KEYS_H_

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "tlog/note_key.h"

// What checkpoints of a ledger are signed with, as files of a folder. Missing
// ones are made, mode 0600, and last from then on; those of ML-DSA only where
// this process has it. FAILED_PRECONDITION: others may read a file. Main
// thread, at start.

namespace vmattest::verifierd {

// Of the log `origin` itself, its ECDSA key first: ledger-key.pem and
// ledger-log.ml-dsa.
absl::StatusOr<std::vector<std::shared_ptr<tlog::NoteSigner>>> LoadLogSigners(
    const std::filesystem::path& folder, const std::string& origin);

// Of a witness, named ORIGIN/witness: ledger-witness.seed (Ed25519) and
// ledger-witness.ml-dsa.
absl::StatusOr<std::vector<std::unique_ptr<tlog::NoteSigner>>>
LoadWitnessSigners(const std::filesystem::path& folder,
                   const std::string& origin);

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_LEDGER_KEYS_H_
