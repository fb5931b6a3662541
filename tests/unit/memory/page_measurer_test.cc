#include "worker/memory/page_measurer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "crypto/digest.h"
#include "crypto/page_hash.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::worker {
namespace {

using memory::AddressRange;
using memory::kPageSize;
using testing::IsOk;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kSize = 8 * kMiB;

// A guest of 8 MiB in a memfd: 6 MiB from 0, 2 MiB from 16 MiB.
class PageMeasurerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = UniqueFd(memfd_create("guest", MFD_CLOEXEC));
    ASSERT_EQ(ftruncate(file_.get(), kSize), 0);
    ram_ = static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                                      MAP_SHARED, file_.get(), 0));
    ASSERT_NE(ram_, MAP_FAILED);
    for (uint64_t at = 0; at < kSize; at += 3 * kPageSize) {
      std::memset(ram_ + at, static_cast<int>(at / kPageSize % 250 + 1),
                  kPageSize);
    }
    memory::RamSource source;
    source.way = memory::RamSource::Way::kFile;
    source.bytes = kSize;
    source.mappable = true;
    source.memory = UniqueFd(dup(file_.get()));
    blocks_.push_back(std::make_unique<memory::RamBlock>(std::move(source)));
    ASSERT_OK_AND_ASSIGN(
        auto view,
        GuestView::Make(blocks_, {{{0, 6 * kMiB}, 0, 0},
                                  {{16 * kMiB, 18 * kMiB}, 0, 6 * kMiB}}));
    view_ = std::make_unique<GuestView>(std::move(view));
  }
  void TearDown() override { munmap(ram_, kSize); }

  static RegionPages Region(std::vector<AddressRange> ranges,
                            HashAlgorithm algorithm,
                            uint32_t page_bytes = kPageSize) {
    return {.grid = memory::PageGrid(std::move(ranges), page_bytes),
            .algorithm = algorithm,
            .digests = {},
            .tags = {},
            .known = {}};
  }
  static std::vector<AddressRange> All() {
    return {{0, 6 * kMiB}, {16 * kMiB, 18 * kMiB}};
  }
  // Where a guest address lies in the file.
  static uint64_t OffsetOf(uint64_t address) {
    return address < 6 * kMiB ? address : address - 10 * kMiB;
  }
  [[nodiscard]] Bytes Expected(const RegionPages& region,
                               const uint8_t* ram) const {
    Bytes digests;
    for (uint64_t i = 0; i < region.grid.size(); ++i) {
      const AddressRange page = region.grid.At(i);
      const DigestBytes digest =
          Hash(region.algorithm,
               {ram + OffsetOf(page.begin), page.end - page.begin});
      digests.insert(digests.end(), digest.begin(), digest.end());
    }
    return digests;
  }
  [[nodiscard]] int64_t Blocks() const {
    struct stat info {};
    fstat(file_.get(), &info);
    return info.st_blocks;
  }

  UniqueFd file_;
  uint8_t* ram_ = nullptr;
  RamBlocks blocks_;
  std::unique_ptr<GuestView> view_;
  const SecretBytes key_{RandomBytes(PieceTagger::kKeySize)};
};

TEST_F(PageMeasurerTest, GivesEveryPagesDigestAndTouchesNoHole) {
  const int64_t before = Blocks();
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    for (const uint32_t page_bytes : {4096U, 65536U, 2097152U}) {
      for (const SecretBytes* key : {(const SecretBytes*)nullptr, &key_}) {
        RegionPages region = Region(
            {{0x1000, 0x3800}, {0x10000, 6 * kMiB}, {16 * kMiB, 17 * kMiB}},
            algorithm, page_bytes);
        ASSERT_THAT(MeasurePages(*view_, nullptr,
                                 {.threads = 2, .tag_key = key}, region),
                    IsOk());
        EXPECT_TRUE(region.unreadable == 0 && region.torn == 0);
        EXPECT_EQ(Blocks(), before) << ToString(algorithm) << page_bytes;
        // Last: what it looks at it fills.
        Bytes copy(kSize);
        ASSERT_EQ(pread(file_.get(), copy.data(), kSize, 0),
                  static_cast<ssize_t>(kSize));
        EXPECT_EQ(region.digests, Expected(region, copy.data()))
            << ToString(algorithm) << page_bytes;
      }
    }
  }
}

TEST_F(PageMeasurerTest, TakesRangesInAnyOrderAndMoreThanOnce) {
  const std::vector<AddressRange> parts = {{17 * kMiB, 17 * kMiB + 0x2800},
                                           {0x3010, 0x3020},
                                           {0x6000, 0x9000},
                                           {0x3018, 0x4000},
                                           {0x6000, 0x7000}};
  for (const SecretBytes* key : {(const SecretBytes*)nullptr, &key_}) {
    for (const bool copies : {false, true}) {
      RegionPages region = Region(parts, HashAlgorithm::kSha256);
      ASSERT_OK_AND_ASSIGN(const auto copy, GuestCopy::Prepare(parts));
      ASSERT_THAT(copy->Fill(*view_, std::chrono::seconds(10), 1), IsOk());
      EXPECT_TRUE(copy->complete());
      ASSERT_THAT(MeasurePages(*view_, copies ? copy.get() : nullptr,
                               {.tag_key = key}, region),
                  IsOk());
      Bytes now(kSize);
      ASSERT_EQ(pread(file_.get(), now.data(), kSize, 0),
                static_cast<ssize_t>(kSize));
      EXPECT_EQ(region.digests, Expected(region, now.data()));
      EXPECT_EQ(region.unreadable, 0U);
    }
  }
}

TEST_F(PageMeasurerTest, HashesAgainOnlyWhatChanged) {
  RegionPages region = Region(All(), HashAlgorithm::kSha256);
  const MeasureOptions options{.tag_key = &key_};
  ASSERT_THAT(MeasurePages(*view_, nullptr, options, region), IsOk());
  ram_[0] ^= 1;             // a page that was there
  ram_[kPageSize + 5] = 1;  // one that was not
  ram_[7 * kMiB / kPageSize * kPageSize] ^= 1;
  ASSERT_THAT(MeasurePages(*view_, nullptr, options, region), IsOk());
  EXPECT_EQ(region.unchanged, region.grid.size() - 3);
  EXPECT_EQ(region.digests, Expected(region, ram_));
}

TEST_F(PageMeasurerTest, KeepsWhatWasCopiedWhateverTheGuestDoesThen) {
  RegionPages region = Region(All(), HashAlgorithm::kSha256);
  ASSERT_OK_AND_ASSIGN(const auto copy, GuestCopy::Prepare(All()));
  ASSERT_OK_AND_ASSIGN(const uint64_t copied,
                       copy->Fill(*view_, std::chrono::seconds(10), 2));
  EXPECT_EQ(copied, kSize);
  EXPECT_TRUE(copy->complete());
  Bytes then(ram_, ram_ + kSize);
  std::memset(ram_, 0xEE, kSize);
  ASSERT_THAT(MeasurePages(*view_, copy.get(), {}, region), IsOk());
  EXPECT_EQ(region.digests, Expected(region, then.data()));
}

TEST_F(PageMeasurerTest, ReadsTheRestLiveWhenTheBudgetIsUsedUp) {
  RegionPages region = Region(All(), HashAlgorithm::kSha256);
  ASSERT_OK_AND_ASSIGN(const auto copy, GuestCopy::Prepare(All()));
  ASSERT_THAT(copy->Fill(*view_, std::chrono::microseconds(0), 1).status(),
              IsOk());
  EXPECT_FALSE(copy->complete());
  ASSERT_THAT(MeasurePages(*view_, copy.get(), {}, region), IsOk());
  EXPECT_EQ(region.digests, Expected(region, ram_));
}

TEST_F(PageMeasurerTest, ReportsPagesThatAreTakenAway) {
  std::memset(ram_, 1, kSize);
  for (const HashAlgorithm algorithm :
       {HashAlgorithm::kBlake3, HashAlgorithm::kSha256}) {
    ASSERT_EQ(ftruncate(file_.get(), kSize), 0);
    std::memset(ram_ + 5 * kMiB, 1, kMiB);
    RegionPages region = Region({{0, 6 * kMiB}}, algorithm);
    // In the middle of the first pass.
    MeasureOptions options;
    options.progress = [&](uint64_t) {
      if (ftruncate(file_.get(), 5 * kMiB) != 0) {
        abort();
      }
    };
    ASSERT_THAT(MeasurePages(*view_, nullptr, options, region), IsOk());
    EXPECT_EQ(region.unreadable, kMiB / kPageSize) << ToString(algorithm);
    EXPECT_EQ(ToBytes(ByteView(region.digests).last(32)), Bytes(32));
  }
}

TEST_F(PageMeasurerTest, CallsPagesTornThatNeverStandStill) {
  for (const SecretBytes* key : {(const SecretBytes*)nullptr, &key_}) {
    RegionPages region = Region({{0, kMiB}}, HashAlgorithm::kSha256);
    MeasureOptions options{.rereads = 3, .tag_key = key};
    options.progress = [&](uint64_t) { ++ram_[64]; };
    ASSERT_THAT(MeasurePages(*view_, nullptr, options, region), IsOk());
    EXPECT_EQ(region.torn, 1U);
  }
}

TEST_F(PageMeasurerTest, RefusesSectionsOutsideTheirBlock) {
  EXPECT_FALSE(GuestView::Make(blocks_, {{{0, kSize + kPageSize}, 0, 0}}).ok());
  EXPECT_FALSE(GuestView::Make(blocks_, {{{0, kPageSize}, 1, 0}}).ok());
  EXPECT_FALSE(GuestView::Make(blocks_, {{{0, kPageSize}, 0, kSize}}).ok());
  EXPECT_FALSE(
      GuestView::Make(blocks_, {{{0, kMiB}, 0, 0}, {{kMiB / 2, kMiB}, 0, 0}})
          .ok());
}

}  // namespace
}  // namespace vmattest::worker
