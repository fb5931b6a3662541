#include "tlog/tile_tree.h"

#include <numeric>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "merkle/tree.h"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest::tlog {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::Slurp;
using vmattest::testing::StatusIs;

constexpr auto kSha256 = HashAlgorithm::kSha256;

Bytes Leaf(uint64_t index) {
  return merkle::LeafHash(kSha256, ToBytes(fmt::format("leaf {}", index)));
}

// A tree grown leaf by leaf, its tiles, and the slow reference.
struct Grown {
  TreeEdge edge;
  std::map<std::pair<uint32_t, uint64_t>, Bytes> tiles;
  std::vector<DigestBytes> leaves;

  void Grow(uint64_t size) {
    while (edge.size() < size) {
      leaves.push_back(Leaf(edge.size()));
      edge.Append(leaves.back());
    }
    for (TreeEdge::Changed& tile : edge.TakeChanged()) {
      Bytes& now = tiles[{tile.level, tile.index}];
      EXPECT_GT(tile.hashes.size(), now.size());
      now = std::move(tile.hashes);
    }
  }
  ReadTile Reader() {
    return [this](uint32_t level, uint64_t index,
                  size_t) -> absl::StatusOr<Bytes> {
      const auto tile = tiles.find({level, index});
      if (tile == tiles.end()) {
        return absl::NotFoundError("no such tile");
      }
      return tile->second;
    };
  }
  merkle::Tree Reference(uint64_t size) {
    return {kSha256,
            {leaves.begin(), leaves.begin() + static_cast<ptrdiff_t>(size)}};
  }
};

TEST(TreeEdge, HasTheRootOfTheSlowTreeAtEverySize) {
  Grown grown;
  EXPECT_EQ(grown.edge.Root(), Hash(kSha256, {}));
  for (uint64_t size = 1; size <= 600; ++size) {
    grown.Grow(size);
    ASSERT_EQ(grown.edge.Root(), grown.Reference(size).Root()) << size;
  }
}

TEST(TreeEdge, GoesOnFromItsTilesAtEverySize) {
  Grown grown;
  for (uint64_t size = 0; size <= 600; size += 7) {
    grown.Grow(size);
    ASSERT_OK_AND_ASSIGN(TreeEdge loaded, TreeEdge::Load(grown.Reader(), size));
    ASSERT_EQ(loaded.Root(), grown.edge.Root()) << size;
    Grown other;
    other.tiles = grown.tiles;
    other.leaves = grown.leaves;
    other.edge = std::move(loaded);
    other.Grow(size + 300);
    ASSERT_EQ(other.edge.Root(), other.Reference(size + 300).Root()) << size;
    ASSERT_EQ(*TileTree(other.Reader(), size + 300).Root(), other.edge.Root());
  }
}

TEST(TreeEdge, MakesThreeLevelsOfTiles) {
  Grown grown;
  grown.Grow(65'536 + 300);
  EXPECT_EQ(grown.tiles.at({0, 256}).size(), 256u * 32);
  EXPECT_EQ(grown.tiles.at({0, 257}).size(), 44u * 32);
  EXPECT_EQ(grown.tiles.at({1, 0}).size(), 256u * 32);
  EXPECT_EQ(grown.tiles.at({1, 1}).size(), 32u);
  EXPECT_EQ(grown.tiles.at({2, 0}).size(), 32u);
  ASSERT_OK_AND_ASSIGN(const TreeEdge loaded,
                       TreeEdge::Load(grown.Reader(), 65'836));
  EXPECT_EQ(loaded.Root(), grown.edge.Root());
}

TEST(TileTree, ProvesAnyPair) {
  Grown grown;
  grown.Grow(700);
  for (const uint64_t size : {1, 2, 3, 255, 256, 257, 511, 512, 513, 700}) {
    TileTree tree(grown.Reader(), size);
    const merkle::Tree reference = grown.Reference(size);
    ASSERT_EQ(*tree.Root(), reference.Root());
    for (uint64_t index = 0; index < size; index += 13) {
      ASSERT_EQ(*tree.InclusionProof(index), reference.InclusionProof(index));
      ASSERT_TRUE(merkle::VerifyInclusion(kSha256, index, size, Leaf(index),
                                          *tree.InclusionProof(index),
                                          reference.Root()));
      ASSERT_EQ(*tree.LeafHash(index), Leaf(index));
    }
    for (uint64_t old_size = 1; old_size <= size; old_size += 11) {
      ASSERT_EQ(*tree.ConsistencyProof(old_size),
                reference.ConsistencyProof(old_size));
    }
  }
}

TEST(TileTree, SaysWhatIsNotThere) {
  Grown grown;
  grown.Grow(300);
  TileTree tree(grown.Reader(), 300);
  EXPECT_THAT(tree.InclusionProof(300),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(tree.LeafHash(300), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(tree.ConsistencyProof(0),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(tree.ConsistencyProof(301),
              StatusIs(absl::StatusCode::kOutOfRange));
  TileTree longer(grown.Reader(), 301);
  EXPECT_THAT(longer.Root(), StatusIs(absl::StatusCode::kDataLoss,
                                      HasSubstr("tile 0/1 lacks hashes")));
  grown.tiles.erase({0, 0});
  EXPECT_THAT(TileTree(grown.Reader(), 300).LeafHash(3),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("tile 0/0 lacks hashes")));
}

TEST(Tile, HasThePathsOfTheSpecification) {
  EXPECT_EQ(EncodeTileIndex(0), "000");
  EXPECT_EQ(EncodeTileIndex(1'234'067), "x001/x234/067");
  EXPECT_EQ(HashTilePath(0, 1'234'067, 256), "tile/0/x001/x234/067");
  EXPECT_EQ(HashTilePath(1, 5, 17), "tile/1/005.p/17");
  EXPECT_EQ(EntryTilePath(3, 256), "tile/entries/003");
  EXPECT_EQ(EntryTilePath(1'000, 1), "tile/entries/x001/000.p/1");
}

TEST(Tile, WidthsAreThoseOfTheTree) {
  EXPECT_EQ(TileWidthAt(0, 0, 70'000), 256u);
  EXPECT_EQ(TileWidthAt(0, 273, 70'000), 112u);
  EXPECT_EQ(TileWidthAt(0, 274, 70'000), 0u);
  EXPECT_EQ(TileWidthAt(1, 1, 70'000), 17u);
  EXPECT_EQ(TileWidthAt(2, 0, 70'000), 1u);
  EXPECT_EQ(TileWidthAt(3, 0, 70'000), 0u);
  EXPECT_EQ(TileWidthAt(9, 0, UINT64_MAX), 0u);
}

TEST(Tile, BundlesOfEntriesAreStrict) {
  const std::vector<Bytes> entries = {ToBytes("a"), {}, Bytes(65'535, 3)};
  const Bytes bundle = EncodeEntryBundle(entries);
  EXPECT_EQ(*ParseEntryBundle(bundle, 3), entries);
  EXPECT_THAT(ParseEntryBundle(bundle, 2),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseEntryBundle(bundle, 4),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// Tiles of a log that other people run.
TEST(TreeEdge, HasTheRootsOfARealLogsTiles) {
  VMATTEST_REQUIRE_VECTORS(folder, "rfc6962-merkle");
  const std::map<std::string, std::string> heads = {
      {"000",
       "6c80217987879103977872b0d0f2a3b6d989da11ad194fd50f15396f44806fe7"},
      {"001",
       "e36486bed68531bb26a4d3d317506620bd66f6b2731e306d65a20e18ca3769c1"},
      {"002",
       "135816f749a0354a227b239f85824ea2f746cf94eef8c9452632554b22aa04af"},
      {"003",
       "a3847a463cb907038fad5b3472e5dbdbbb6b548aa0b121138ff49f6d3cb45bfe"}};
  for (const auto& [name, head] : heads) {
    const Bytes tile = ToBytes(Slurp(folder / "sunlight-tiles/tile/0" / name));
    ASSERT_EQ(tile.size(), kTileWidth * kHashSize);
    TreeEdge edge;
    for (size_t i = 0; i < kTileWidth; ++i) {
      edge.Append({tile.begin() + static_cast<ptrdiff_t>(i * kHashSize),
                   tile.begin() + static_cast<ptrdiff_t>((i + 1) * kHashSize)});
    }
    EXPECT_EQ(ToHex(edge.Root()), head);
    EXPECT_EQ(edge.TakeChanged().at(0).hashes, tile);
  }
}

}  // namespace
}  // namespace vmattest::tlog
