#ifndef VMATTEST_LEDGER_LIGHT_CLIENT_H_
#define VMATTEST_LEDGER_LIGHT_CLIENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "tlog/policy.h"

// What a reader of the ledger checks who believes no node of it: needs the
// policy file alone (docs/formats/ledger.md). Pure; callable from any thread.

namespace vmattest::ledger {

// INVALID_ARGUMENT, FAILED_PRECONDITION: as tlog::OpenCheckpoint; or `record`
// is not leaf `index` of the tree that the checkpoint is of.
// `not_before_unix_s`: a quorum must have cosigned since; 0: whenever.
absl::StatusOr<tlog::AcceptedCheckpoint> VerifyIncluded(
    const std::string& checkpoint_note, const tlog::WitnessPolicy& policy,
    uint64_t index, ByteView record, const std::vector<Bytes>& inclusion_path,
    int64_t not_before_unix_s = 0);

// That `newer` continues `older`, both accepted before. FAILED_PRECONDITION:
// it does not; of the same size with other roots, the two notes are a proof
// of a fork.
absl::Status VerifyContinues(const tlog::Checkpoint& older,
                             const tlog::Checkpoint& newer,
                             const std::vector<Bytes>& consistency_path);

// What a record says about the key of a host's entries (rule S33); whether the
// host's TPM vouches for it: verifier::VerifyBoundLedgerKey. INVALID_ARGUMENT:
// it is no host-authorise or key-delegate.
struct HostKey {
  std::string host_id;
  Bytes key_spki;
  Bytes evidence_hash;
  int64_t not_after_unix_ms = 0;  // 0: for ever
};
absl::StatusOr<HostKey> ReadHostKey(ByteView record);

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_LIGHT_CLIENT_H_
