#include "cli/ledger_source.h"

#include <algorithm>
#include <utility>

namespace vmattest::cli {
namespace {

using Stub = v1::Ledger::Stub;

constexpr uint64_t kMost = 1'024;  // records of a call
// Of a node that says anything.
constexpr size_t kLongestBand = 32;

}  // namespace

absl::StatusOr<std::unique_ptr<LiveLedgerSource>> LiveLedgerSource::Open(
    const ConnectionArgs& args) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args));
  return std::unique_ptr<LiveLedgerSource>(new LiveLedgerSource(args, channel));
}

absl::StatusOr<v1::GetCheckpointResponse> LiveLedgerSource::Ask() {
  return CallVerifier(args_, &Stub::GetCheckpoint, v1::GetCheckpointRequest(),
                      *stub_);
}

absl::StatusOr<std::string> LiveLedgerSource::CheckpointNote() {
  ASSIGN_OR_RETURN(const v1::GetCheckpointResponse got, Ask());
  if (got.checkpoint().empty()) {
    return absl::FailedPreconditionError(
        "the ledger has no checkpoint with a quorum yet");
  }
  return got.checkpoint();
}

absl::StatusOr<std::optional<tlog::ForkProof>> LiveLedgerSource::KnownFork() {
  ASSIGN_OR_RETURN(const v1::GetCheckpointResponse got, Ask());
  if (got.fork_proof().empty()) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(tlog::ForkProof proof,
                   tlog::ParseForkProof(got.fork_proof()));
  return proof;
}

absl::StatusOr<ledger::ToldTrust> LiveLedgerSource::Trust(const Uuid& vm) {
  v1::GetTrustRequest request;
  request.set_vm_uuid(ToString(vm));
  ASSIGN_OR_RETURN(const v1::GetTrustResponse got,
                   CallVerifier(args_, &Stub::GetTrust, request, *stub_));
  return ledger::ToldTrust{.time_unix_ms = got.time_unix_ms(),
                           .size = got.size(),
                           .witnessed = got.witnessed(),
                           .milli = got.score_milli(),
                           .band = got.band().substr(0, kLongestBand),
                           .witnessed_milli = got.witnessed_milli(),
                           .passes = got.passes(),
                           .fails = got.fails(),
                           .silences = got.silences(),
                           .host_compromised = got.host_compromised()};
}

absl::StatusOr<std::vector<Bytes>> LiveLedgerSource::Records(uint64_t begin,
                                                             size_t limit,
                                                             uint64_t size) {
  v1::ListRecordsRequest request;
  request.set_begin(begin);
  request.set_limit(static_cast<uint32_t>(
      std::min<uint64_t>({limit, kMost, size - std::min(begin, size)})));
  ASSIGN_OR_RETURN(const v1::ListRecordsResponse got,
                   CallVerifier(args_, &Stub::ListRecords, request, *stub_));
  std::vector<Bytes> records;
  for (const std::string& record : got.records()) {
    records.push_back(ToBytes(record));
  }
  return records;
}

absl::StatusOr<Bytes> LiveLedgerSource::Tile(uint32_t /*level*/,
                                             uint64_t /*index*/,
                                             uint64_t /*size*/) {
  return absl::UnimplementedError("a node serves records and proofs, no tiles");
}

}  // namespace vmattest::cli
