#include "ledger/tile_directory.h"

#include <algorithm>
#include <fstream>

#include "base/file.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "merkle/tree.h"
#include "tlog/note.h"
#include "tlog/tile.h"
#include "tlog/tile_tree.h"

namespace vmattest::ledger {
namespace {

constexpr size_t kMaxBundle = tlog::kTileWidth * (2 + tlog::kMaxEntrySize);

absl::Status Write(const std::filesystem::path& path, ByteView content) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return ErrnoStatus(error.value(), path.parent_path().string());
  }
  return WriteFileAtomic(path, content);
}

absl::Status WriteFullTiles(const std::filesystem::path& folder,
                            tlog::TreeEdge& edge) {
  for (const tlog::TreeEdge::Changed& tile : edge.TakeChanged()) {
    const size_t width = tile.hashes.size() / tlog::kHashSize;
    if (width == tlog::kTileWidth) {
      RETURN_IF_ERROR(
          Write(folder / tlog::HashTilePath(tile.level, tile.index, width),
                tile.hashes));
    }
  }
  return absl::OkStatus();
}

// The last tile of each level, which is not full. The store's may be longer.
absl::Status WriteEdge(const std::filesystem::path& folder,
                       const tlog::ReadTile& read, uint64_t size) {
  for (uint32_t level = 0; size >> (level * tlog::kTileHeight) > 0; ++level) {
    const uint64_t hashes = size >> (level * tlog::kTileHeight);
    const uint64_t index = hashes / tlog::kTileWidth;
    const size_t width = tlog::TileWidthAt(level, index, size);
    if (width == 0) {
      continue;
    }
    ASSIGN_OR_RETURN(Bytes tile, read(level, index, width));
    tile.resize(width * tlog::kHashSize);
    RETURN_IF_ERROR(
        Write(folder / tlog::HashTilePath(level, index, width), tile));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ExportLog(LogStore& store, const std::string& checkpoint_note,
                       const std::filesystem::path& folder,
                       const ExportProgress& progress) {
  ASSIGN_OR_RETURN(const tlog::Note note, tlog::ParseNote(checkpoint_note));
  ASSIGN_OR_RETURN(const tlog::Checkpoint checkpoint,
                   tlog::ParseCheckpoint(note.text));
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && !std::filesystem::is_empty(folder, error)) {
    return absl::AlreadyExistsError(
        fmt::format("{} is not empty", folder.string()));
  }
  if (error) {
    return ErrnoStatus(error.value(), folder.string());
  }
  tlog::TreeEdge edge;
  while (edge.size() < checkpoint.size) {
    const size_t width =
        std::min<uint64_t>(tlog::kTileWidth, checkpoint.size - edge.size());
    std::vector<Bytes> bundle;
    const uint64_t index = edge.size() / tlog::kTileWidth;
    while (bundle.size() < width) {
      ASSIGN_OR_RETURN(std::vector<Bytes> page,
                       store.Records(index * tlog::kTileWidth + bundle.size(),
                                     width - bundle.size()));
      if (page.empty()) {
        return absl::DataLossError(
            fmt::format("record {} is missing", edge.size() + bundle.size()));
      }
      std::move(page.begin(), page.end(), std::back_inserter(bundle));
    }
    for (const Bytes& record : bundle) {
      edge.Append(merkle::LeafHash(HashAlgorithm::kSha256, record));
    }
    RETURN_IF_ERROR(Write(folder / tlog::EntryTilePath(index, width),
                          tlog::EncodeEntryBundle(bundle)));
    RETURN_IF_ERROR(WriteFullTiles(folder, edge));
    if (progress) {
      progress(edge.size(), checkpoint.size);
    }
  }
  if (edge.Root() != checkpoint.root) {
    return absl::DataLossError(
        "the records do not give the root of the checkpoint");
  }
  RETURN_IF_ERROR(WriteEdge(
      folder,
      [&store](uint32_t level, uint64_t index,
               size_t) -> absl::StatusOr<Bytes> {
        ASSIGN_OR_RETURN(HashTile tile, store.Tile(level, index));
        return std::move(tile.hashes);
      },
      checkpoint.size));
  return Write(folder / "checkpoint", AsBytes(checkpoint_note));
}

absl::StatusOr<std::string> DirectorySource::CheckpointNote() {
  ASSIGN_OR_RETURN(const Bytes note,
                   ReadFile(folder_ / "checkpoint", tlog::kMaxNoteSize));
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

absl::StatusOr<Bytes> DirectorySource::Tile(uint32_t level, uint64_t index,
                                            uint64_t size) {
  return ReadFile(
      folder_ / tlog::HashTilePath(level, index,
                                   tlog::TileWidthAt(level, index, size)),
      tlog::kTileWidth * tlog::kHashSize);
}

}  // namespace vmattest::ledger
