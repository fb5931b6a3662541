#ifndef VMATTEST_TLOG_TILE_TREE_H_
#define VMATTEST_TLOG_TILE_TREE_H_

#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tlog/tile.h"

namespace vmattest::tlog {

// The hashes of tile (level, index): `width` of them, or more.
using ReadTile = std::function<absl::StatusOr<Bytes>(
    uint32_t level, uint64_t index, size_t width)>;

// Roots and proofs of a tree whose hashes lie in tiles: RFC 6962, SHA-256. What
// was read is kept until the object goes. One thread at a time.
//   DATA_LOSS: a tile is shorter than the tree needs, or not there.
class TileTree {
 public:
  TileTree(ReadTile read, uint64_t size)
      : read_(std::move(read)), size_(size) {}

  [[nodiscard]] uint64_t size() const { return size_; }
  absl::StatusOr<Bytes> Root();
  // OUT_OF_RANGE: there is no such leaf, or no such older tree.
  absl::StatusOr<Bytes> LeafHash(uint64_t index);
  absl::StatusOr<std::vector<Bytes>> InclusionProof(uint64_t index);
  absl::StatusOr<std::vector<Bytes>> ConsistencyProof(uint64_t old_size);

 private:
  using Place = std::pair<uint32_t, uint64_t>;
  absl::StatusOr<ByteView> Tile(uint32_t level, uint64_t index, size_t width);
  // Of the complete subtree of 2^`height` leaves that starts at
  // `index` * 2^height.
  absl::StatusOr<Bytes> Subtree(uint32_t height, uint64_t index);
  absl::StatusOr<Bytes> Range(uint64_t begin, uint64_t end);

  const ReadTile read_;
  const uint64_t size_;
  std::map<Place, Bytes> tiles_;
};

// The right edge of a growing tree: enough to append, in O(log size) memory.
// One thread at a time.
class TreeEdge {
 public:
  TreeEdge() = default;
  // From the tiles of a tree of `size` leaves. DATA_LOSS as above.
  static absl::StatusOr<TreeEdge> Load(const ReadTile& read, uint64_t size);

  // `record_hash`: H(0x00 || leaf).
  void Append(const Bytes& record_hash);
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] Bytes Root() const;

  struct Changed {
    uint32_t level = 0;
    uint64_t index = 0;
    Bytes hashes;
  };
  // The tiles that changed since the last call, as they are now.
  std::vector<Changed> TakeChanged();

 private:
  void AddToTile(uint32_t level, uint64_t index, const Bytes& hash);

  uint64_t size_ = 0;
  std::vector<Bytes> complete_;  // by height; empty where size_ has a 0 bit
  std::vector<Bytes> partial_;   // by tile level: the newest, not full tile
  std::vector<Changed> full_;    // since the last TakeChanged()
  // The same of partial tiles: by tile level, the index of one that changed.
  std::vector<std::optional<uint64_t>> grown_;
};

}  // namespace vmattest::tlog

#endif  // VMATTEST_TLOG_TILE_TREE_H_
