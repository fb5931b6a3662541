#ifndef VMATTEST_TLOG_TILE_H_
#define VMATTEST_TLOG_TILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

// The layout of c2sp.org/tlog-tiles: a tree of SHA-256 hashes cut into tiles of
// 256 hashes, eight of the tree's levels each. Pure; callable from any thread.
//
//   tile/0/x000/001.p/44         hashes 256 .. 299 of the leaves
//   tile/1/000                   the roots of 256 tiles of level 0
//   tile/entries/000             bundle of entries 0 .. 255

namespace vmattest::tlog {

inline constexpr size_t kTileWidth = 256;
inline constexpr uint32_t kTileHeight = 8;
inline constexpr size_t kHashSize = 32;
inline constexpr size_t kMaxEntrySize = 65'535;

// "x001/x234/067" for 1234067.
std::string EncodeTileIndex(uint64_t index);

// `width`: hashes or entries in it, 256 for a full one.
std::string HashTilePath(uint32_t level, uint64_t index, size_t width);
std::string EntryTilePath(uint64_t index, size_t width);

// How many hashes tile (`level`, `index`) has in a tree of `size` leaves: 0 to
// 256.
size_t TileWidthAt(uint32_t level, uint64_t index, uint64_t size);

// A bundle: each entry after its length, 16 bits big-endian. INVALID_ARGUMENT:
// not exactly `width` entries.
absl::StatusOr<std::vector<Bytes>> ParseEntryBundle(ByteView bundle,
                                                    size_t width);
Bytes EncodeEntryBundle(const std::vector<Bytes>& entries);

}  // namespace vmattest::tlog

#endif  // VMATTEST_TLOG_TILE_H_
