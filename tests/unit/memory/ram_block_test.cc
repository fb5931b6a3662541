#include "memory/linux/ram_block.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::memory {
namespace {

using ::testing::ElementsAre;
using testing::IsOk;
using testing::StatusIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class MemfdBlockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = UniqueFd(memfd_create("guest", MFD_CLOEXEC));
    ASSERT_EQ(ftruncate(file_.get(), 8 * kMiB), 0);
    map_ = static_cast<uint8_t*>(mmap(nullptr, 8 * kMiB, PROT_READ | PROT_WRITE,
                                      MAP_SHARED, file_.get(), 0));
    ASSERT_NE(map_, MAP_FAILED);
  }
  void TearDown() override { munmap(map_, 8 * kMiB); }

  [[nodiscard]] RamSource Source() const {
    RamSource source;
    source.way = RamSource::Way::kFile;
    source.bytes = 8 * kMiB;
    source.mappable = true;
    source.memory = UniqueFd(dup(file_.get()));
    return source;
  }
  [[nodiscard]] uint64_t Used() const {
    struct stat info {};
    fstat(file_.get(), &info);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  }

  UniqueFd file_;
  uint8_t* map_ = nullptr;
};

// Long and short ranges are looked at in different ways.
TEST_F(MemfdBlockTest, KnowsTheSameInOnePieceAndInMany) {
  for (uint64_t page = 0; page < 8 * kMiB / kPageSize; ++page) {
    if (page % 7 < 3 || page % 1000 > 700) {
      map_[page * kPageSize] = 1;
    }
  }
  const RamBlock block(Source());
  ASSERT_OK_AND_ASSIGN(const auto whole, block.Extents(0, 8 * kMiB));
  EXPECT_GT(whole.size(), 100U);
  for (const uint64_t size : {kPageSize, 3 * kPageSize, kMiB}) {
    std::vector<AddressRange> pieces;
    for (uint64_t at = 0; at < 8 * kMiB; at += size) {
      ASSERT_OK_AND_ASSIGN(const auto piece,
                           block.Extents(at, std::min(8 * kMiB, at + size)));
      for (const AddressRange& extent : piece) {
        if (!pieces.empty() && pieces.back().end == extent.begin) {
          pieces.back().end = extent.end;
        } else {
          pieces.push_back(extent);
        }
      }
    }
    EXPECT_EQ(pieces, whole) << size;
  }
}

TEST_F(MemfdBlockTest, KnowsWhatExistsAndTouchesNothingElse) {
  map_[0] = 1;
  map_[3 * kMiB] = 2;
  map_[3 * kMiB + kPageSize] = 3;
  const uint64_t before = Used();
  RamBlock block(Source());
  ASSERT_OK_AND_ASSIGN(const auto extents, block.Extents(0, 8 * kMiB));
  EXPECT_THAT(extents,
              ElementsAre(AddressRange{0, kPageSize},
                          AddressRange{3 * kMiB, 3 * kMiB + 2 * kPageSize}));
  std::vector<uint8_t> all(8 * kMiB);
  EXPECT_THAT(block.Read(0, all), IsOk());
  EXPECT_EQ(all[3 * kMiB], 2);
  EXPECT_EQ(*block.FirstUsed(kPageSize, 8 * kMiB), 3 * kMiB);
  EXPECT_EQ(*block.LastUsed(0, 8 * kMiB), 3 * kMiB + kPageSize);
  EXPECT_THAT(block.FirstUsed(4 * kMiB, 8 * kMiB),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Used(), before);
}

TEST_F(MemfdBlockTest, SurvivesThatTheFileShrinks) {
  std::memset(map_, 7, 8 * kMiB);
  RamBlock block(Source());
  const uint8_t* const mapped = block.Map();
  ASSERT_NE(mapped, nullptr);
  ASSERT_EQ(ftruncate(file_.get(), kMiB), 0);
  std::vector<uint8_t> some(kPageSize);
  EXPECT_THAT(block.Read(2 * kMiB, some),
              StatusIs(absl::StatusCode::kUnavailable));
  struct Look {
    const uint8_t* at;
    int seen;
  } look{mapped + 2 * kMiB, 0};
  const auto touch = [](void* argument) {
    auto& one = *static_cast<Look*>(argument);
    one.seen = *const_cast<volatile const uint8_t*>(one.at);
  };
  EXPECT_FALSE(GuardedRead(touch, &look));
  EXPECT_FALSE(GuardedRead(touch, &look));
  look.at = mapped;
  EXPECT_TRUE(GuardedRead(touch, &look));
  EXPECT_EQ(look.seen, 7);
}

TEST_F(MemfdBlockTest, RefusesWhatIsNotInTheBlock) {
  RamBlock block(Source());
  std::vector<uint8_t> some(kPageSize);
  EXPECT_THAT(block.Read(8 * kMiB, some),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(block.Read(UINT64_MAX, some),
              StatusIs(absl::StatusCode::kOutOfRange));
}

// Rule S23, on this process's own memory.
TEST(ProcessBlock, S23_SkipsOnlyPagesThatWereNeverThere) {
  auto* const map = static_cast<uint8_t*>(
      mmap(nullptr, 8 * kMiB, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  ASSERT_NE(map, MAP_FAILED);
  ASSERT_EQ(madvise(map, 8 * kMiB, MADV_NOHUGEPAGE), 0);
  map[kMiB] = 9;
  RamSource source;
  source.base = reinterpret_cast<uintptr_t>(map);
  source.bytes = 8 * kMiB;
  source.anonymous = true;
  source.memory = UniqueFd(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  source.pagemap = UniqueFd(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  RamBlock block(std::move(source));
  ASSERT_OK_AND_ASSIGN(const auto extents, block.Extents(0, 8 * kMiB));
  EXPECT_THAT(extents, ElementsAre(AddressRange{kMiB, kMiB + kPageSize}));
  std::vector<uint8_t> page(kPageSize);
  EXPECT_THAT(block.Read(kMiB, page), IsOk());
  EXPECT_EQ(page[0], 9);
  munmap(map, 8 * kMiB);
  EXPECT_THAT(block.Read(kMiB, page), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vmattest::memory
