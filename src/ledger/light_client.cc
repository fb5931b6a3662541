#include "vmattest/ledger/light_client.h"

#include <utility>

#include "fmt/format.h"
#include "ledger/entry.h"
#include "merkle/tree.h"

namespace vmattest::ledger {
namespace {

constexpr auto kSha256 = HashAlgorithm::kSha256;

}  // namespace

absl::StatusOr<tlog::AcceptedCheckpoint> VerifyIncluded(
    const std::string& checkpoint_note, const tlog::WitnessPolicy& policy,
    uint64_t index, ByteView record, const std::vector<Bytes>& inclusion_path,
    int64_t not_before_unix_s) {
  ASSIGN_OR_RETURN(
      tlog::AcceptedCheckpoint accepted,
      tlog::OpenCheckpoint(checkpoint_note, policy, not_before_unix_s));
  const tlog::Checkpoint& checkpoint = accepted.checkpoint;
  if (!merkle::VerifyInclusion(kSha256, index, checkpoint.size,
                               merkle::LeafHash(kSha256, record),
                               inclusion_path, checkpoint.root)) {
    return absl::FailedPreconditionError(
        fmt::format("the record is not leaf {} of the {} that were signed for",
                    index, checkpoint.size));
  }
  return accepted;
}

absl::Status VerifyContinues(const tlog::Checkpoint& older,
                             const tlog::Checkpoint& newer,
                             const std::vector<Bytes>& consistency_path) {
  if (older.origin != newer.origin ||
      !merkle::VerifyConsistency(kSha256, older.size, newer.size, older.root,
                                 newer.root, consistency_path)) {
    return absl::FailedPreconditionError(
        fmt::format("the checkpoint of {} records does not continue that of {}",
                    newer.size, older.size));
  }
  return absl::OkStatus();
}

absl::StatusOr<HostKey> ReadHostKey(ByteView record) {
  ASSIGN_OR_RETURN(Record parsed, ParseRecord(record));
  ASSIGN_OR_RETURN(const Entry entry, ParseEntry(std::move(parsed.entry)));
  const auto read = [](const auto& message) {
    return HostKey{.host_id = message.host_id(),
                   .key_spki = ToBytes(message.key_spki()),
                   .evidence_hash = ToBytes(message.key_evidence_hash()),
                   .not_after_unix_ms = message.not_after_unix_ms()};
  };
  if (entry.body.has_host_authorise()) {
    return read(entry.body.host_authorise());
  }
  if (entry.body.has_key_delegate()) {
    return read(entry.body.key_delegate());
  }
  return absl::InvalidArgumentError(
      fmt::format("a {} names no host's key", TypeName(entry.body)));
}

}  // namespace vmattest::ledger
