#include "ledger/copy_log.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "ledger/entry.h"
#include "merkle/tree.h"
#include "tlog/tile_tree.h"

namespace vmattest::ledger {
namespace {

constexpr HashAlgorithm kSha256 = HashAlgorithm::kSha256;
// Of one commit, so that any store takes it in one piece.
constexpr size_t kBatchBytes = 512u << 10;

// Records from `begin` on: at least one, a commit's worth at most.
absl::StatusOr<std::vector<Bytes>> NextRecords(LogStore& from, uint64_t begin,
                                               uint64_t end) {
  const size_t most = std::min<uint64_t>(kMaxBatch, end - begin);
  ASSIGN_OR_RETURN(std::vector<Bytes> records, from.Records(begin, most));
  size_t bytes = 0;
  size_t count = 0;
  while (count < std::min(records.size(), most) && bytes < kBatchBytes) {
    bytes += records[count++].size();
  }
  if (count == 0) {
    return absl::DataLossError(fmt::format("there is no record {}", begin));
  }
  records.resize(count);
  return records;
}

// The tree over what `to` has, made of what `from` has.
absl::StatusOr<tlog::TreeEdge> Skip(LogStore& from, const LogHead& done,
                                    uint64_t size) {
  if (done.size > size) {
    return absl::DataLossError(
        fmt::format("the other log has {} records already", done.size));
  }
  tlog::TreeEdge edge;
  while (edge.size() < done.size) {
    ASSIGN_OR_RETURN(const std::vector<Bytes> records,
                     NextRecords(from, edge.size(), done.size));
    for (const Bytes& record : records) {
      edge.Append(merkle::LeafHash(kSha256, record));
    }
  }
  if (done.size > 0 && edge.Root() != done.root) {
    return absl::DataLossError("the other log is not a prefix of this one");
  }
  (void)edge.TakeChanged();
  return edge;
}

absl::StatusOr<LogBatch> MakeBatch(const LogHead& before,
                                   std::vector<Bytes> records,
                                   tlog::TreeEdge& edge) {
  ASSIGN_OR_RETURN(const Record last, ParseRecord(records.back()));
  LogBatch batch{.before = before, .after = before};
  for (const Bytes& record : records) {
    edge.Append(merkle::LeafHash(kSha256, record));
  }
  batch.records = std::move(records);
  batch.after = {.size = edge.size(),
                 .root = edge.Root(),
                 .time_unix_ms = last.time_unix_ms};
  for (tlog::TreeEdge::Changed& tile : edge.TakeChanged()) {
    batch.tiles.push_back({.level = tile.level,
                           .index = tile.index,
                           .hashes = std::move(tile.hashes)});
  }
  return batch;
}

absl::Status CopyRecords(
    LogStore& from, LogStore& to,
    const std::function<void(uint64_t, uint64_t)>& progress) {
  ASSIGN_OR_RETURN(const LogHead goal, from.Head());
  ASSIGN_OR_RETURN(LogHead head, to.Head());
  ASSIGN_OR_RETURN(tlog::TreeEdge edge, Skip(from, head, goal.size));
  while (head.size < goal.size) {
    ASSIGN_OR_RETURN(std::vector<Bytes> records,
                     NextRecords(from, head.size, goal.size));
    ASSIGN_OR_RETURN(const LogBatch batch,
                     MakeBatch(head, std::move(records), edge));
    if (batch.after.size == goal.size && batch.after != goal) {
      return absl::DataLossError(
          fmt::format("{} records have the root {}, not {}", goal.size,
                      ToHex(batch.after.root), ToHex(goal.root)));
    }
    // Keeps the lead.
    RETURN_IF_ERROR(to.Lead("copy").status());
    RETURN_IF_ERROR(to.Append(batch));
    head = batch.after;
    progress(head.size, goal.size);
  }
  ASSIGN_OR_RETURN(const std::optional<StoredCheckpoint> checkpoint,
                   from.Checkpoint());
  return checkpoint ? to.PutCheckpoint(*checkpoint) : absl::OkStatus();
}

}  // namespace

absl::Status CopyLog(LogStore& from, LogStore& to,
                     const std::function<void(uint64_t, uint64_t)>& progress) {
  ASSIGN_OR_RETURN(const uint64_t first, from.FirstRecord());
  if (first > 0) {
    return absl::FailedPreconditionError(
        fmt::format("the records before {} were trimmed", first));
  }
  ASSIGN_OR_RETURN(const Leadership leadership, to.Lead("copy"));
  if (!leadership.mine) {
    return absl::FailedPreconditionError(
        fmt::format("{} leads the other log", leadership.leader));
  }
  const absl::Status copied = CopyRecords(from, to, progress);
  const absl::Status resigned = to.Resign();
  return copied.ok() ? resigned : copied;
}

}  // namespace vmattest::ledger
