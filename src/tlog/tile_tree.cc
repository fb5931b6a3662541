#include "tlog/tile_tree.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "merkle/tree.h"

namespace vmattest::tlog {
namespace {

Bytes Node(ByteView left, ByteView right) {
  return merkle::NodeHash(HashAlgorithm::kSha256, left, right);
}

ByteView HashAt(ByteView hashes, uint64_t index) {
  return hashes.subspan(index * kHashSize, kHashSize);
}

// The root of a power of two of hashes.
Bytes FoldHashes(ByteView hashes) {
  std::vector<Bytes> level;
  for (size_t i = 0; i * kHashSize < hashes.size(); ++i) {
    level.push_back(ToBytes(HashAt(hashes, i)));
  }
  for (; level.size() > 1; level.resize(level.size() / 2)) {
    for (size_t i = 0; i < level.size() / 2; ++i) {
      level[i] = Node(level[2 * i], level[2 * i + 1]);
    }
  }
  return level.front();
}

uint64_t SplitPoint(uint64_t size) { return std::bit_floor(size - 1); }

}  // namespace

absl::StatusOr<ByteView> TileTree::Tile(uint32_t level, uint64_t index,
                                        size_t width) {
  const auto known = tiles_.find({level, index});
  if (known != tiles_.end()) {
    return ByteView(known->second);
  }
  const size_t needed = TileWidthAt(level, index, size_);
  absl::StatusOr<Bytes> read = read_(level, index, needed);
  if (!read.ok() && !absl::IsNotFound(read.status())) {
    return read.status();
  }
  if (!read.ok() || read->size() < needed * kHashSize || width > needed) {
    return absl::DataLossError(
        fmt::format("tile {}/{} lacks hashes: {} of {}", level, index,
                    read.ok() ? read->size() / kHashSize : 0, needed));
  }
  read->resize(needed * kHashSize);
  return ByteView(
      tiles_.emplace(Place(level, index), *std::move(read)).first->second);
}

absl::StatusOr<Bytes> TileTree::Subtree(uint32_t height, uint64_t index) {
  const uint32_t level = height / kTileHeight;
  const uint64_t count = uint64_t{1} << (height % kTileHeight);
  const uint64_t first = index * count;  // among the hashes of `level`
  const uint64_t offset = first % kTileWidth;
  ASSIGN_OR_RETURN(const ByteView tile,
                   Tile(level, first / kTileWidth, offset + count));
  return FoldHashes(tile.subspan(offset * kHashSize, count * kHashSize));
}

// `begin` is a multiple of the power of two that covers the range.
absl::StatusOr<Bytes> TileTree::Range(uint64_t begin, uint64_t end) {
  const uint64_t count = end - begin;
  if (count == 0) {
    return Hash(HashAlgorithm::kSha256, {});
  }
  if (std::has_single_bit(count)) {
    const auto height = static_cast<uint32_t>(std::countr_zero(count));
    return Subtree(height, begin >> height);
  }
  const uint64_t split = begin + SplitPoint(count);
  ASSIGN_OR_RETURN(const Bytes left, Range(begin, split));
  ASSIGN_OR_RETURN(const Bytes right, Range(split, end));
  return Node(left, right);
}

absl::StatusOr<Bytes> TileTree::Root() { return Range(0, size_); }

absl::StatusOr<Bytes> TileTree::LeafHash(uint64_t index) {
  if (index >= size_) {
    return absl::OutOfRangeError(
        fmt::format("leaf {} of a tree of {}", index, size_));
  }
  return Subtree(0, index);
}

absl::StatusOr<std::vector<Bytes>> TileTree::InclusionProof(uint64_t index) {
  if (index >= size_) {
    return absl::OutOfRangeError(
        fmt::format("leaf {} of a tree of {}", index, size_));
  }
  std::vector<Bytes> path;
  uint64_t begin = 0;
  uint64_t end = size_;
  while (end - begin > 1) {
    const uint64_t split = begin + SplitPoint(end - begin);
    const bool left = index < split;
    ASSIGN_OR_RETURN(Bytes sibling,
                     left ? Range(split, end) : Range(begin, split));
    path.push_back(std::move(sibling));
    (left ? end : begin) = split;
  }
  std::reverse(path.begin(), path.end());
  return path;
}

absl::StatusOr<std::vector<Bytes>> TileTree::ConsistencyProof(
    uint64_t old_size) {
  if (old_size == 0 || old_size > size_) {
    return absl::OutOfRangeError(
        fmt::format("a tree of {} in one of {}", old_size, size_));
  }
  std::vector<Bytes> path;
  uint64_t begin = 0;
  uint64_t end = size_;
  bool whole = true;  // RFC 6962's b: the verifier has the old root
  while (old_size != end) {
    const uint64_t split = begin + SplitPoint(end - begin);
    const bool left = old_size <= split;
    ASSIGN_OR_RETURN(Bytes other,
                     left ? Range(split, end) : Range(begin, split));
    path.push_back(std::move(other));
    (left ? end : begin) = split;
    whole = whole && left;
  }
  if (!whole) {
    ASSIGN_OR_RETURN(Bytes old, Range(begin, end));
    path.push_back(std::move(old));
  }
  std::reverse(path.begin(), path.end());
  return path;
}

absl::StatusOr<TreeEdge> TreeEdge::Load(const ReadTile& read, uint64_t size) {
  TreeEdge edge;
  edge.size_ = size;
  edge.complete_.resize(static_cast<size_t>(std::bit_width(size)));
  for (uint32_t height = 0; height < edge.complete_.size(); ++height) {
    if (((size >> height) & 1) == 0) {
      continue;
    }
    const uint32_t level = height / kTileHeight;
    const uint64_t count = uint64_t{1} << (height % kTileHeight);
    const uint64_t first = ((size >> height) - 1) * count;
    const size_t needed =
        TileWidthAt(level, first / kTileWidth, size) * kHashSize;
    ASSIGN_OR_RETURN(Bytes tile,
                     read(level, first / kTileWidth, needed / kHashSize));
    if (tile.size() < needed) {
      return absl::DataLossError(
          fmt::format("tile {}/{} lacks hashes", level, first / kTileWidth));
    }
    tile.resize(needed);
    edge.complete_[height] = FoldHashes(ByteView(tile).subspan(
        (first % kTileWidth) * kHashSize, count * kHashSize));
    if (edge.partial_.size() <= level) {
      edge.partial_.resize(level + 1);
      edge.grown_.resize(level + 1);
    }
    if (needed < kTileWidth * kHashSize) {
      edge.partial_[level] = std::move(tile);
    }
  }
  return edge;
}

void TreeEdge::Append(const Bytes& record_hash) {
  Bytes hash = record_hash;
  uint32_t height = 0;
  AddToTile(0, size_, hash);
  for (; ((size_ >> height) & 1) != 0; ++height) {
    hash = Node(complete_[height], hash);
    complete_[height].clear();
    if ((height + 1) % kTileHeight == 0) {
      AddToTile((height + 1) / kTileHeight, size_ >> (height + 1), hash);
    }
  }
  if (complete_.size() <= height) {
    complete_.resize(height + 1);
  }
  complete_[height] = std::move(hash);
  ++size_;
}

void TreeEdge::AddToTile(uint32_t level, uint64_t index, const Bytes& hash) {
  if (partial_.size() <= level) {
    partial_.resize(level + 1);
    grown_.resize(level + 1);
  }
  Bytes& tile = partial_[level];
  tile.insert(tile.end(), hash.begin(), hash.end());
  grown_[level] = tile.size() < kTileWidth * kHashSize
                      ? std::optional(index / kTileWidth)
                      : std::nullopt;
  if (!grown_[level]) {
    full_.push_back({.level = level,
                     .index = index / kTileWidth,
                     .hashes = std::exchange(tile, {})});
  }
}

Bytes TreeEdge::Root() const {
  Bytes root;
  for (const Bytes& hash : complete_) {
    if (!hash.empty()) {
      root = root.empty() ? hash : Node(hash, root);
    }
  }
  return root.empty() ? Hash(HashAlgorithm::kSha256, {}) : root;
}

std::vector<TreeEdge::Changed> TreeEdge::TakeChanged() {
  std::vector<Changed> changed = std::exchange(full_, {});
  for (uint32_t level = 0; level < grown_.size(); ++level) {
    if (const auto index = std::exchange(grown_[level], std::nullopt)) {
      changed.push_back(
          {.level = level, .index = *index, .hashes = partial_[level]});
    }
  }
  std::sort(changed.begin(), changed.end(),
            [](const Changed& a, const Changed& b) {
              return std::pair(a.level, a.index) < std::pair(b.level, b.index);
            });
  return changed;
}

}  // namespace vmattest::tlog
