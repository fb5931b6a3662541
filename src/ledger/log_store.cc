#include "ledger/log_store.h"

#include "crypto/digest.h"
#include "fmt/format.h"

namespace vmattest::ledger {
namespace {

constexpr size_t kHashSize = 32;
constexpr size_t kMaxRecord = 65'535;
constexpr size_t kTileWidth = 256;

}  // namespace

LogHead EmptyHead() {
  return {.size = 0, .root = Hash(HashAlgorithm::kSha256, {})};
}

absl::Status CheckBatch(const LogBatch& batch) {
  if (batch.records.empty() || batch.records.size() > kMaxBatch) {
    return absl::InvalidArgumentError(
        fmt::format("a batch of {} records", batch.records.size()));
  }
  if (batch.after.size != batch.before.size + batch.records.size() ||
      batch.after.root.size() != kHashSize ||
      batch.before.root.size() != kHashSize) {
    return absl::InvalidArgumentError(
        fmt::format("a batch of {} records from size {} to {}",
                    batch.records.size(), batch.before.size, batch.after.size));
  }
  if (batch.after.time_unix_ms < batch.before.time_unix_ms) {
    return absl::InvalidArgumentError("ledger time goes back");
  }
  for (const Bytes& record : batch.records) {
    if (record.empty() || record.size() > kMaxRecord) {
      return absl::InvalidArgumentError(
          fmt::format("a record of {} bytes", record.size()));
    }
  }
  for (const HashTile& tile : batch.tiles) {
    if (tile.hashes.empty() || tile.hashes.size() % kHashSize != 0 ||
        tile.hashes.size() > kTileWidth * kHashSize) {
      return absl::InvalidArgumentError(fmt::format("tile {}/{} of {} bytes",
                                                    tile.level, tile.index,
                                                    tile.hashes.size()));
    }
  }
  return absl::OkStatus();
}

}  // namespace vmattest::ledger
