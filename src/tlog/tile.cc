#include "tlog/tile.h"

#include <algorithm>

#include "fmt/format.h"

namespace vmattest::tlog {
namespace {

std::string Partial(size_t width) {
  return width < kTileWidth ? fmt::format(".p/{}", width) : std::string();
}

}  // namespace

std::string EncodeTileIndex(uint64_t index) {
  std::string path = fmt::format("{:03}", index % 1000);
  for (index /= 1000; index > 0; index /= 1000) {
    path = fmt::format("x{:03}/", index % 1000) + path;
  }
  return path;
}

std::string HashTilePath(uint32_t level, uint64_t index, size_t width) {
  return fmt::format("tile/{}/{}{}", level, EncodeTileIndex(index),
                     Partial(width));
}

std::string EntryTilePath(uint64_t index, size_t width) {
  return fmt::format("tile/entries/{}{}", EncodeTileIndex(index),
                     Partial(width));
}

size_t TileWidthAt(uint32_t level, uint64_t index, uint64_t size) {
  const uint64_t hashes =
      level * kTileHeight < 64 ? size >> (level * kTileHeight) : 0;
  const uint64_t first = index * kTileWidth;
  return first >= hashes ? 0 : std::min<uint64_t>(kTileWidth, hashes - first);
}

absl::StatusOr<std::vector<Bytes>> ParseEntryBundle(ByteView bundle,
                                                    size_t width) {
  ByteReader reader(bundle);
  std::vector<Bytes> entries;
  entries.reserve(std::min(width, kTileWidth));
  for (size_t i = 0; i < width; ++i) {
    const uint16_t size = reader.U16();
    entries.push_back(ToBytes(reader.Raw(size)));
    if (!reader.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("entry bundle: ends in entry {} of {}", i, width));
    }
  }
  if (!reader.AtEnd()) {
    return absl::InvalidArgumentError(
        fmt::format("entry bundle: more than {} entries", width));
  }
  return entries;
}

Bytes EncodeEntryBundle(const std::vector<Bytes>& entries) {
  ByteWriter writer;
  for (const Bytes& entry : entries) {
    writer.U16(static_cast<uint16_t>(entry.size())).Raw(entry);
  }
  return std::move(writer).Take();
}

}  // namespace vmattest::tlog
