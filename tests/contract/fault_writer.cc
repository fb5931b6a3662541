#include "contract/fault_writer.h"

#include <unistd.h>

#include <utility>

#include "merkle/tree.h"

namespace vmattest::testing {

using ledger::LogBatch;
using ledger::LogHead;

LogBatch NextBatch(const LogHead& before, tlog::TreeEdge& edge, size_t records,
                   size_t record_size) {
  LogBatch batch{.before = before, .after = before};
  for (size_t i = 0; i < records; ++i) {
    Bytes record(record_size, static_cast<uint8_t>(edge.size()));
    edge.Append(merkle::LeafHash(HashAlgorithm::kSha256, record));
    batch.records.push_back(std::move(record));
  }
  for (auto& tile : edge.TakeChanged()) {
    batch.tiles.push_back({tile.level, tile.index, std::move(tile.hashes)});
  }
  batch.after = {.size = edge.size(),
                 .root = edge.Root(),
                 .time_unix_ms = before.time_unix_ms + 1};
  return batch;
}

absl::StatusOr<tlog::TreeEdge> TreeOf(ledger::LogStore& store) {
  ASSIGN_OR_RETURN(const LogHead head, store.Head());
  tlog::TreeEdge edge;
  while (edge.size() < head.size) {
    ASSIGN_OR_RETURN(const std::vector<Bytes> page,
                     store.Records(edge.size(), head.size - edge.size()));
    for (const Bytes& record : page) {
      edge.Append(merkle::LeafHash(HashAlgorithm::kSha256, record));
    }
  }
  return edge;
}

int RunAppends(ledger::LogStore& store, const AppendWork& work, int told) {
  const auto lead = store.Lead("writer");
  if (!lead.ok() || !lead->mine) {
    return kNotTheWriter;
  }
  auto head = store.Head();
  auto edge = TreeOf(store);
  if (!head.ok() || !edge.ok()) {
    return kRefused;
  }
  (void)edge->TakeChanged();
  for (size_t i = 0; i < work.batches; ++i) {
    const LogBatch batch =
        NextBatch(*head, *edge, work.records, work.record_size);
    if (!store.Append(batch).ok() || write(told, "!", 1) != 1) {
      return kRefused;
    }
    *head = batch.after;
  }
  return 0;
}

}  // namespace vmattest::testing
