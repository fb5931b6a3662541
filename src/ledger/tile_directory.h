#ifndef VMATTEST_LEDGER_TILE_DIRECTORY_H_
#define VMATTEST_LEDGER_TILE_DIRECTORY_H_

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "ledger/log_store.h"
#include "tlog/checkpoint.h"
#include "tlog/witness.h"

// A log as a folder that C2SP tools read (c2sp.org/tlog-tiles): `checkpoint`,
// `tile/...`. Blocks; one thread at a time.

namespace vmattest::ledger {

using ExportProgress = std::function<void(uint64_t done, uint64_t of)>;

// Makes `folder` a copy of the log as far as the checkpoint covers it: records
// and tiles, then the checkpoint. One that is a copy already is continued, and
// `read` asked only for what it lacks. DATA_LOSS: the records do not give the
// checkpoint's root, or the folder has more of them. ALREADY_EXISTS: something
// else is in the folder.
absl::Status ExportLog(const ReadRecords& read,
                       const std::string& checkpoint_note,
                       const std::filesystem::path& folder,
                       const ExportProgress& progress = {});
absl::Status ExportLog(LogStore& store, const std::string& checkpoint_note,
                       const std::filesystem::path& folder,
                       const ExportProgress& progress = {});

// How a VM stands, in the words of whoever keeps the log.
struct ToldTrust {
  int64_t time_unix_ms = 0;  // what it is as of
  // Of the records that it follows from; 0: it does not say.
  uint64_t size = 0;
  uint64_t witnessed = 0;
  int64_t milli = 0;
  std::string band;
  int64_t witnessed_milli = 0;
  uint64_t passes = 0;
  uint64_t fails = 0;
  uint64_t silences = 0;
  bool host_compromised = false;
};

// What an audit reads.
class AuditSource {
 public:
  virtual ~AuditSource() = default;
  // Whether there are tiles to check against the records.
  [[nodiscard]] virtual bool has_tiles() const { return true; }
  // A proof that whoever keeps the log was shown; it is checked.
  virtual absl::StatusOr<std::optional<tlog::ForkProof>> KnownFork() {
    return std::nullopt;
  }
  // Whether somebody keeps the log who says how VMs stand.
  [[nodiscard]] virtual bool has_trust() const { return false; }
  // NOT_FOUND: that it knows no such VM.
  virtual absl::StatusOr<ToldTrust> Trust(const Uuid& /*vm*/) {
    return absl::UnimplementedError("nobody keeps it");
  }
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
  // Of a bundle at most.
  absl::StatusOr<std::vector<Bytes>> Records(uint64_t begin, size_t limit,
                                             uint64_t size) override;
  absl::StatusOr<Bytes> Tile(uint32_t level, uint64_t index,
                             uint64_t size) override;
  // Records of the folder's own checkpoint. OUT_OF_RANGE: it ends before.
  static ReadRecords Reader(const std::filesystem::path& folder);

 private:
  const std::filesystem::path folder_;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_TILE_DIRECTORY_H_
