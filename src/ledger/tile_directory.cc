#include "ledger/tile_directory.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/file.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "merkle/tree.h"
#include "tlog/note.h"
#include "tlog/tile.h"
#include "tlog/tile_tree.h"

namespace vmattest::ledger {
namespace {

constexpr char kCheckpoint[] = "checkpoint";
constexpr char kTile[] = "tile";
constexpr size_t kMaxBundle = tlog::kTileWidth * (2 + tlog::kMaxEntrySize);

absl::Status Write(const std::filesystem::path& path, ByteView content) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return ErrnoStatus(error.value(), path.parent_path().string());
  }
  return WriteFileAtomic(path, content);
}

absl::StatusOr<tlog::Checkpoint> ParseNoteCheckpoint(std::string_view bytes) {
  ASSIGN_OR_RETURN(const tlog::Note note, tlog::ParseNote(bytes));
  return tlog::ParseCheckpoint(note.text);
}

// A copy of a log that grows.
class Copy {
 public:
  explicit Copy(const std::filesystem::path& folder) : folder_(folder) {}

  // Finds out what is there. The tiles must give the checkpoint that is.
  absl::Status Begin();
  [[nodiscard]] uint64_t size() const { return edge_.size(); }
  [[nodiscard]] Bytes Root() const { return edge_.Root(); }
  // Up to the end of a bundle, or of the tree of `size`.
  absl::Status TakeBundle(const ReadRecords& read, uint64_t size);
  absl::Status End(const std::string& note);

 private:
  using Place = std::pair<uint32_t, uint64_t>;
  absl::Status TakeTiles();
  absl::Status DropPartials(uint64_t before);

  const std::filesystem::path folder_;
  uint64_t begun_at_ = 0;
  tlog::TreeEdge edge_;
  std::map<Place, Bytes> partial_;  // written at the end
};

absl::Status Copy::Begin() {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  const absl::StatusOr<Bytes> note =
      ReadFile(folder_ / kCheckpoint, tlog::kMaxNoteSize);
  if (absl::IsNotFound(note.status())) {
    // What was interrupted before its first checkpoint begins anew.
    for (auto it = std::filesystem::directory_iterator(folder_, error);
         !error && it != std::filesystem::directory_iterator();
         it.increment(error)) {
      if (it->path().filename() != kTile) {
        return absl::AlreadyExistsError(
            fmt::format("{} is not empty, and no log", folder_.string()));
      }
    }
    return error ? ErrnoStatus(error.value(), folder_.string())
                 : absl::OkStatus();
  }
  RETURN_IF_ERROR(note.status());
  ASSIGN_OR_RETURN_WITH(const tlog::Checkpoint checkpoint,
                        ParseNoteCheckpoint(AsText(*note)),
                        (folder_ / kCheckpoint).string());
  DirectorySource source(folder_);
  ASSIGN_OR_RETURN(edge_, tlog::TreeEdge::Load(
                              [&](uint32_t level, uint64_t index, size_t) {
                                return source.Tile(level, index,
                                                   checkpoint.size);
                              },
                              checkpoint.size));
  if (edge_.Root() != checkpoint.root) {
    return absl::DataLossError(fmt::format(
        "the tiles in {} do not give its checkpoint's root", folder_.string()));
  }
  begun_at_ = checkpoint.size;
  return absl::OkStatus();
}

absl::Status Copy::TakeBundle(const ReadRecords& read, uint64_t size) {
  const uint64_t index = edge_.size() / tlog::kTileWidth;
  const size_t have = edge_.size() % tlog::kTileWidth;
  const size_t width = tlog::TileWidthAt(0, index, size);
  std::vector<Bytes> bundle;
  if (have > 0) {
    ASSIGN_OR_RETURN(bundle, DirectorySource(folder_).Records(
                                 index * tlog::kTileWidth, have, edge_.size()));
  }
  while (bundle.size() < width) {
    ASSIGN_OR_RETURN(
        std::vector<Bytes> page,
        read(index * tlog::kTileWidth + bundle.size(), width - bundle.size()));
    if (page.empty()) {
      return absl::DataLossError(fmt::format(
          "record {} is missing", index * tlog::kTileWidth + bundle.size()));
    }
    std::move(page.begin(), page.end(), std::back_inserter(bundle));
  }
  bundle.resize(width);
  for (size_t i = have; i < width; ++i) {
    edge_.Append(merkle::LeafHash(HashAlgorithm::kSha256, bundle[i]));
  }
  RETURN_IF_ERROR(Write(folder_ / tlog::EntryTilePath(index, width),
                        tlog::EncodeEntryBundle(bundle)));
  return TakeTiles();
}

absl::Status Copy::TakeTiles() {
  for (tlog::TreeEdge::Changed& tile : edge_.TakeChanged()) {
    if (tile.hashes.size() < tlog::kTileWidth * tlog::kHashSize) {
      partial_[{tile.level, tile.index}] = std::move(tile.hashes);
      continue;
    }
    partial_.erase({tile.level, tile.index});
    RETURN_IF_ERROR(Write(
        folder_ / tlog::HashTilePath(tile.level, tile.index, tlog::kTileWidth),
        tile.hashes));
  }
  return absl::OkStatus();
}

absl::Status Copy::End(const std::string& note) {
  for (const auto& [place, hashes] : partial_) {
    RETURN_IF_ERROR(
        Write(folder_ / tlog::HashTilePath(place.first, place.second,
                                           hashes.size() / tlog::kHashSize),
              hashes));
  }
  RETURN_IF_ERROR(Write(folder_ / kCheckpoint, AsBytes(note)));
  return DropPartials(begun_at_);
}

// Those of the tree of `before` that have grown since.
absl::Status Copy::DropPartials(uint64_t before) {
  std::error_code error;
  for (uint32_t level = 0; before >> (level * tlog::kTileHeight) > 0; ++level) {
    const uint64_t index =
        (before >> (level * tlog::kTileHeight)) / tlog::kTileWidth;
    const size_t width = tlog::TileWidthAt(level, index, before);
    if (width == 0 || width == tlog::TileWidthAt(level, index, edge_.size())) {
      continue;
    }
    std::filesystem::remove(folder_ / tlog::HashTilePath(level, index, width),
                            error);
    if (level == 0 && !error) {
      std::filesystem::remove(folder_ / tlog::EntryTilePath(index, width),
                              error);
    }
    if (error) {
      return ErrnoStatus(error.value(), folder_.string());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ExportLog(const ReadRecords& read,
                       const std::string& checkpoint_note,
                       const std::filesystem::path& folder,
                       const ExportProgress& progress) {
  ASSIGN_OR_RETURN(const tlog::Checkpoint checkpoint,
                   ParseNoteCheckpoint(checkpoint_note));
  Copy copy(folder);
  RETURN_IF_ERROR(copy.Begin());
  if (copy.size() > checkpoint.size) {
    return absl::DataLossError(fmt::format(
        "{} has {} records, the checkpoint {}: the log was rolled back",
        folder.string(), copy.size(), checkpoint.size));
  }
  while (copy.size() < checkpoint.size) {
    RETURN_IF_ERROR(copy.TakeBundle(read, checkpoint.size));
    if (progress) {
      progress(copy.size(), checkpoint.size);
    }
  }
  if (copy.Root() != checkpoint.root) {
    return absl::DataLossError(
        "the records do not give the root of the checkpoint");
  }
  return copy.End(checkpoint_note);
}

absl::Status ExportLog(LogStore& store, const std::string& checkpoint_note,
                       const std::filesystem::path& folder,
                       const ExportProgress& progress) {
  return ExportLog(
      [&store](uint64_t begin, size_t limit) {
        return store.Records(begin, limit);
      },
      checkpoint_note, folder, progress);
}

absl::StatusOr<std::string> DirectorySource::CheckpointNote() {
  ASSIGN_OR_RETURN(const Bytes note,
                   ReadFile(folder_ / kCheckpoint, tlog::kMaxNoteSize));
  return std::string(AsText(note));
}

absl::StatusOr<std::vector<Bytes>> DirectorySource::Records(uint64_t begin,
                                                            size_t limit,
                                                            uint64_t size) {
  const uint64_t index = begin / tlog::kTileWidth;
  const size_t width = tlog::TileWidthAt(0, index, size);
  const std::string path = tlog::EntryTilePath(index, width);
  ASSIGN_OR_RETURN(const Bytes bundle, ReadFile(folder_ / path, kMaxBundle));
  ASSIGN_OR_RETURN_WITH(std::vector<Bytes> records,
                        tlog::ParseEntryBundle(bundle, width), path);
  const auto first =
      records.begin() + static_cast<ptrdiff_t>(begin % tlog::kTileWidth);
  const auto count =
      std::min<ptrdiff_t>(static_cast<ptrdiff_t>(limit), records.end() - first);
  return std::vector<Bytes>(std::make_move_iterator(first),
                            std::make_move_iterator(first + count));
}

ReadRecords DirectorySource::Reader(const std::filesystem::path& folder) {
  return [folder](uint64_t begin,
                  size_t limit) -> absl::StatusOr<std::vector<Bytes>> {
    DirectorySource source(folder);
    ASSIGN_OR_RETURN(const std::string note, source.CheckpointNote());
    ASSIGN_OR_RETURN(const tlog::Checkpoint checkpoint,
                     ParseNoteCheckpoint(note));
    if (begin >= checkpoint.size) {
      return absl::OutOfRangeError(
          fmt::format("{} has {} records", folder.string(), checkpoint.size));
    }
    return source.Records(begin, limit, checkpoint.size);
  };
}

absl::StatusOr<Bytes> DirectorySource::Tile(uint32_t level, uint64_t index,
                                            uint64_t size) {
  return ReadFile(
      folder_ / tlog::HashTilePath(level, index,
                                   tlog::TileWidthAt(level, index, size)),
      tlog::kTileWidth * tlog::kHashSize);
}

}  // namespace vmattest::ledger
