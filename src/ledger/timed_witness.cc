#include "ledger/timed_witness.h"

#include <utility>

#include "ledger/entry.h"
#include "merkle/tree.h"

namespace vmattest::ledger {
namespace {

int64_t UnixMs(const Clock& clock) {
  return clock.Now().time_since_epoch().count();
}

std::vector<tlog::NoteVerifier> LogsOf(const tlog::WitnessPolicy& policy) {
  std::vector<tlog::NoteVerifier> logs;
  for (const tlog::WitnessPolicy::Named& log : policy.logs()) {
    logs.push_back(policy.verifiers()[log.verifier]);
  }
  return logs;
}

}  // namespace

TimedWitness::TimedWitness(
    const tlog::WitnessPolicy& policy,
    std::vector<std::unique_ptr<tlog::NoteSigner>> signers,
    tlog::WitnessStore& store, const Clock& clock, int64_t max_skew_ms)
    : clock_(clock),
      max_skew_ms_(max_skew_ms),
      witness_(LogsOf(policy), std::move(signers), store,
               [&clock] { return UnixMs(clock) / 1'000; }) {}

absl::StatusOr<tlog::WitnessReply> TimedWitness::Add(
    const WitnessRequest& request) {
  const absl::StatusOr<tlog::AddCheckpoint> asked =
      tlog::ParseAddCheckpoint(request.body);
  const absl::StatusOr<tlog::Note> note =
      asked.ok() ? tlog::ParseNote(asked->note) : asked.status();
  const absl::StatusOr<tlog::Checkpoint> checkpoint =
      note.ok() ? tlog::ParseCheckpoint(note->text) : note.status();
  if (!checkpoint.ok() || checkpoint->size == 0) {
    return witness_.Add(request.body);  // which says what is wrong
  }
  const absl::StatusOr<Record> newest = ParseRecord(request.newest_record);
  if (!newest.ok() ||
      !merkle::VerifyInclusion(
          HashAlgorithm::kSha256, checkpoint->size - 1, checkpoint->size,
          merkle::LeafHash(HashAlgorithm::kSha256, request.newest_record),
          request.inclusion_path, checkpoint->root)) {
    return tlog::WitnessReply{
        .status = 422, .body = "the newest record is not the checkpoint's\n"};
  }
  if (newest->time_unix_ms > UnixMs(clock_) + max_skew_ms_) {
    return tlog::WitnessReply{.status = 422,
                              .body = "ledger time is of the future\n"};
  }
  return witness_.Add(request.body);
}

}  // namespace vmattest::ledger
