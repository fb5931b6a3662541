#include "disk/block_source.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <deque>
#include <random>

#include "disk/budget.h"
#include "disk/cached_source.h"
#include "fakes/memory_block_source.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/disk/disk_images.h"

namespace vmattest::disk {
namespace {

using vmattest::testing::DiskImages;
using vmattest::testing::IsOk;
using vmattest::testing::MemoryBlockSource;
using vmattest::testing::OpenRaw;
using vmattest::testing::QemuNbd;
using vmattest::testing::StatusIs;

constexpr size_t kMiB = size_t{1} << 20;

// The same content behind each kind of source: data at 1 MiB and 5 MiB.
class SourceTest : public ::testing::TestWithParam<std::string> {
 protected:
  SourceTest() {
    const std::string raw = images_.MakeEmpty("raw", 8 * kMiB);
    Bytes data(kMiB);
    std::mt19937 random(7);
    std::generate(data.begin(), data.end(), std::ref(random));
    DiskImages::WriteAt(raw, kMiB, AsText(data));
    DiskImages::WriteAt(raw, 5 * kMiB, AsText(data));
    content_ = ToBytes(vmattest::testing::Slurp(raw));
    if (GetParam() == "file") {
      source_ = OpenRaw(raw);
    } else if (GetParam() == "nbd") {
      const std::string qcow2 = images_.Path("qcow2");
      DiskImages::Run({"qemu-img", "convert", "-O", "qcow2", raw, qcow2});
      server_ = std::make_unique<QemuNbd>(qcow2, "qcow2");
      source_ = server_->Open();
    } else if (GetParam() == "slice") {
      whole_ = std::make_unique<MemoryBlockSource>(content_);
      source_ = std::make_unique<SliceSource>(*whole_, 0, content_.size());
    } else {
      whole_ = std::make_unique<MemoryBlockSource>(content_);
      source_ = std::make_unique<CachedSource>(*whole_, budget_);
    }
  }

  DiskImages images_;
  Bytes content_;
  Budget budget_{std::chrono::hours(1), uint64_t{1} << 40};
  std::unique_ptr<QemuNbd> server_;
  std::unique_ptr<BlockSource> whole_;
  std::unique_ptr<BlockSource> source_;
};

TEST_P(SourceTest, ReadsAnyRange) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const size_t begin = random() % content_.size();
    const size_t size = std::min<size_t>(
        random() % (round % 10 == 0 ? kMiB : 5000), content_.size() - begin);
    Bytes buffer(size, 0xEE);
    ASSERT_THAT(source_->ReadAt(begin, buffer), IsOk());
    ASSERT_TRUE(std::equal(buffer.begin(), buffer.end(),
                           content_.begin() + static_cast<ptrdiff_t>(begin)));
  }
}

TEST_P(SourceTest, ReadsInOrder) {
  const size_t begin = 12345;
  const size_t end = content_.size() - 77;
  Bytes read;
  ASSERT_THAT(source_->ReadInOrder(begin, end,
                                   [&](ByteView piece) {
                                     EXPECT_LE(piece.size(), kPieceSize);
                                     read.insert(read.end(), piece.begin(),
                                                 piece.end());
                                     return absl::OkStatus();
                                   }),
              IsOk());
  EXPECT_TRUE(std::equal(read.begin(), read.end(),
                         content_.begin() + static_cast<ptrdiff_t>(begin)));
  EXPECT_EQ(read.size(), end - begin);
}

TEST_P(SourceTest, StopsReadingInOrderAtTheConsumersError) {
  int pieces = 0;
  EXPECT_THAT(source_->ReadInOrder(0, content_.size(),
                                   [&](ByteView) {
                                     ++pieces;
                                     return absl::CancelledError("enough");
                                   }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(pieces, 1);
  Bytes buffer(512);
  EXPECT_THAT(source_->ReadAt(kMiB, buffer), IsOk());
}

// Lends blocks of one size, each at a place of its own.
class LentBlocks final : public BlockSource::Blocks {
 public:
  explicit LentBlocks(size_t block_size) : block_size_(block_size) {}
  std::span<uint8_t> Next() override {
    EXPECT_LT(lent_.size() - filled_, BlockSource::kMaxBlocksOut);
    return lent_.emplace_back(block_size_, 0xEE);
  }
  void Filled(size_t size) override {
    ASSERT_LT(filled_, lent_.size());
    const Bytes& block = lent_[filled_++];
    read.insert(read.end(), block.begin(),
                block.begin() + static_cast<ptrdiff_t>(size));
  }
  Bytes read;

 private:
  const size_t block_size_;
  std::deque<Bytes> lent_;
  size_t filled_ = 0;
};

TEST_P(SourceTest, ReadsIntoBlocksOfAnySize) {
  for (const size_t block_size : {size_t{100'000}, kMiB, 3 * kMiB}) {
    const size_t begin = 2 * kMiB / 3;
    const size_t end = content_.size() - 77;
    LentBlocks blocks(block_size);
    ASSERT_THAT(source_->ReadBlocks(begin, end, blocks), IsOk());
    EXPECT_EQ(blocks.read.size(), end - begin);
    EXPECT_TRUE(std::equal(blocks.read.begin(), blocks.read.end(),
                           content_.begin() + static_cast<ptrdiff_t>(begin)));
  }
}

TEST_P(SourceTest, RefusesRangesPastTheEnd) {
  Bytes buffer(512);
  EXPECT_THAT(source_->ReadAt(content_.size() - 511, buffer),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(source_->ReadAt(UINT64_MAX - 100, buffer),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_P(SourceTest, CallsZeroOnlyWhatIs) {
  for (uint64_t at = 0; at < content_.size();) {
    ASSERT_OK_AND_ASSIGN(const BlockSource::Extent extent,
                         source_->ExtentAt(at));
    ASSERT_GT(extent.size, 0u);
    ASSERT_LE(at + extent.size, content_.size());
    if (extent.zero) {
      const auto begin = content_.begin() + static_cast<ptrdiff_t>(at);
      EXPECT_TRUE(std::all_of(begin,
                              begin + static_cast<ptrdiff_t>(extent.size),
                              [](uint8_t byte) { return byte == 0; }));
    }
    at += extent.size;
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& source) {
  return source.param;
}
INSTANTIATE_TEST_SUITE_P(All, SourceTest,
                         ::testing::Values("file", "nbd", "slice", "cached"),
                         NameOf);

TEST(FileBlockSource, KnowsHoles) {
  DiskImages images;
  const std::string raw = images.MakeEmpty("raw", 8 * kMiB);
  DiskImages::WriteAt(raw, 4 * kMiB, "data");
  const auto source = OpenRaw(raw);
  ASSERT_OK_AND_ASSIGN(const auto before, source->ExtentAt(0));
  EXPECT_TRUE(before.zero);
  EXPECT_EQ(before.size, 4 * kMiB);
  ASSERT_OK_AND_ASSIGN(const auto data, source->ExtentAt(4 * kMiB));
  EXPECT_FALSE(data.zero);
  ASSERT_OK_AND_ASSIGN(const auto after,
                       source->ExtentAt(4 * kMiB + data.size));
  EXPECT_TRUE(after.zero);
}

TEST(FileBlockSource, SaysThatTheImageBecameShorter) {
  DiskImages images;
  const std::string raw = images.MakeEmpty("raw", 2 * kMiB);
  const auto source = OpenRaw(raw);
  std::filesystem::resize_file(raw, kMiB);
  Bytes buffer(512);
  EXPECT_THAT(source->ReadAt(2 * kMiB - 512, buffer),
              StatusIs(absl::StatusCode::kAborted));
}

TEST(NbdBlockSource, KnowsHoles) {
  DiskImages images;
  const std::string qcow2 = images.Path("qcow2");
  DiskImages::Run({"qemu-img", "create", "-f", "qcow2", qcow2, "20G"});
  const QemuNbd server(qcow2, "qcow2");
  const auto source = server.Open();
  ASSERT_OK_AND_ASSIGN(const auto extent, source->ExtentAt(0));
  EXPECT_TRUE(extent.zero);
  EXPECT_GE(extent.size, uint64_t{1} << 30);
}

TEST(NbdBlockSource, NamesAnExportThatIsNotThere) {
  DiskImages images;
  const QemuNbd server(images.MakeEmpty("raw", kMiB), "raw");
  EXPECT_THAT(NbdBlockSource::Connect(server.Connect(), "other"),
              StatusIs(absl::StatusCode::kUnavailable));
}

struct SocketPair {
  SocketPair() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ours = UniqueFd(fds[0]);
    theirs = UniqueFd(fds[1]);
  }
  UniqueFd ours;
  UniqueFd theirs;
};

TEST(NbdBlockSource, DoesNotWaitForeverForASilentServer) {
  SocketPair pair;
  EXPECT_THAT(NbdBlockSource::Connect(std::move(pair.ours), "",
                                      std::chrono::milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(NbdBlockSource, NamesAServerThatHangsUp) {
  SocketPair pair;
  pair.theirs.Reset();
  EXPECT_THAT(NbdBlockSource::Connect(std::move(pair.ours), ""),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(CachedSource, ReadsALineOnce) {
  MemoryBlockSource disk{Bytes(kMiB)};
  Budget budget(std::chrono::hours(1), kMiB);
  CachedSource cached(disk, budget);
  Bytes buffer(512);
  for (uint64_t at = 0; at < 65536; at += 512) {
    ASSERT_THAT(cached.ReadAt(at, buffer), IsOk());
  }
  EXPECT_EQ(disk.reads, 1u);
}

TEST(CachedSource, EndsAtTheBudgetAlsoForWhatIsCached) {
  MemoryBlockSource disk{Bytes(kMiB)};
  Budget budget(std::chrono::hours(1), 1024);
  CachedSource cached(disk, budget);
  Bytes buffer(512);
  EXPECT_THAT(cached.ReadAt(0, buffer), IsOk());
  EXPECT_THAT(cached.ReadAt(0, buffer), IsOk());
  EXPECT_THAT(cached.ReadAt(0, buffer),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(budget.failure(), IsOk());
}

TEST(CachedSource, RemembersTheDisksFailure) {
  MemoryBlockSource disk{Bytes(kMiB)};
  Budget budget(std::chrono::hours(1), kMiB);
  CachedSource cached(disk, budget);
  disk.failure = absl::UnavailableError("gone");
  Bytes buffer(512);
  EXPECT_FALSE(cached.ReadAt(0, buffer).ok());
  disk.failure = absl::OkStatus();
  EXPECT_THAT(cached.ReadAt(0, buffer),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(Budget, EndsAtTheDeadline) {
  Budget budget(std::chrono::milliseconds(0), kMiB);
  EXPECT_THAT(budget.Spend(1), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(budget.failure(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace vmattest::disk
