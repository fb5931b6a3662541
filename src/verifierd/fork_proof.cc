#include "verifierd/fork_proof.h"

#include "base/file.h"
#include "base/log.h"

namespace vmattest::verifierd {

namespace fs = std::filesystem;

fs::path ForkProofFile(const fs::path& folder) {
  return folder / "ledger-fork.proof";
}

absl::StatusOr<std::optional<tlog::ForkProof>> ReadForkProof(
    const fs::path& folder) {
  const fs::path file = ForkProofFile(folder);
  const absl::StatusOr<Bytes> bytes = ReadFile(file, 2 * tlog::kMaxNoteSize);
  if (absl::IsNotFound(bytes.status())) {
    return std::nullopt;
  }
  RETURN_IF_ERROR_WITH(bytes.status(), file.string());
  ASSIGN_OR_RETURN_WITH(tlog::ForkProof proof,
                        tlog::ParseForkProof(AsText(*bytes)), file.string());
  return proof;
}

absl::Status KeepForkProof(const fs::path& folder,
                           const tlog::ForkProof& proof) {
  const fs::path file = ForkProofFile(folder);
  log::Error("the ledger was forked", {{"proof", file.string()}});
  return WriteFileAtomic(file, AsBytes(tlog::EncodeForkProof(proof)));
}

}  // namespace vmattest::verifierd
