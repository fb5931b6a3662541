#ifndef VMATTEST_LEDGER_TILE_DIRECTORY_H_
#define VMATTEST_LEDGER_TILE_DIRECTORY_H_

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ledger/log_store.h"
#include "tlog/checkpoint.h"

// A log as a folder that C2SP tools read (c2sp.org/tlog-tiles): `checkpoint`,
// `tile/...`. Blocks; one thread at a time.

namespace vmattest::ledger {

using ExportProgress = std::function<void(uint64_t done, uint64_t of)>;

// Writes the records that the checkpoint covers, their tiles, then the
// checkpoint: without it the folder is not one yet. DATA_LOSS: the records do
// not give the checkpoint's root. ALREADY_EXISTS: the folder is not empty.
absl::Status ExportLog(LogStore& store, const std::string& checkpoint_note,
                       const std::filesystem::path& folder,
                       const ExportProgress& progress = {});

// What an audit reads.
class AuditSource {
 public:
  virtual ~AuditSource() = default;
  virtual absl::StatusOr<std::string> CheckpointNote() = 0;
  // At least one for begin < the checkpoint's size, at most `limit`.
  virtual absl::StatusOr<std::vector<Bytes>> Records(uint64_t begin,
                                                     size_t limit,
                                                     uint64_t size) = 0;
  // Of the tree of `size`; NOT_FOUND.
  virtual absl::StatusOr<Bytes> Tile(uint32_t level, uint64_t index,
                                     uint64_t size) = 0;
};

class DirectorySource final : public AuditSource {
 public:
  explicit DirectorySource(std::filesystem::path folder)
      : folder_(std::move(folder)) {}
  absl::StatusOr<std::string> CheckpointNote() override;
  absl::StatusOr<std::vector<Bytes>> Records(uint64_t begin, size_t limit,
                                             uint64_t size) override;
  absl::StatusOr<Bytes> Tile(uint32_t level, uint64_t index,
                             uint64_t size) override;

 private:
  const std::filesystem::path folder_;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_TILE_DIRECTORY_H_
