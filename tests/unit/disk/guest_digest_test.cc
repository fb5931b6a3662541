#include "disk/guest_digest.h"

#include <random>

#include "crypto/digest.h"
#include "fakes/memory_block_source.h"
#include "merkle/tree.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/disk/disk_images.h"

namespace vmattest::disk {
namespace {

using vmattest::testing::DiskImages;
using vmattest::testing::MemoryBlockSource;
using vmattest::testing::OpenRaw;
using vmattest::testing::QemuNbd;

constexpr size_t kMiB = size_t{1} << 20;

// By the definition, one block after the other.
DigestBytes SlowDigest(HashAlgorithm algorithm, ByteView content) {
  std::vector<DigestBytes> leaves;
  while (!content.empty()) {
    const ByteView block = content.first(std::min(content.size(), kMiB));
    leaves.push_back(merkle::LeafHash(algorithm, block));
    content = content.subspan(block.size());
  }
  return merkle::Tree(algorithm, std::move(leaves)).Root();
}

DigestBytes DigestOf(BlockSource& source,
                     HashAlgorithm algorithm = HashAlgorithm::kSha256) {
  auto digest = GuestDigest(source, algorithm, 2, nullptr);
  EXPECT_THAT(digest, vmattest::testing::IsOk());
  return digest.ok() ? *digest : DigestBytes();
}

std::string Sha256Of(BlockSource& source) {
  Hasher hasher(HashAlgorithm::kSha256);
  EXPECT_THAT(source.ReadInOrder(0, source.size(),
                                 [&](ByteView piece) {
                                   hasher.Update(piece);
                                   return absl::OkStatus();
                                 }),
              vmattest::testing::IsOk());
  return ToHex(hasher.Finish());
}

// Says truthfully where it is zero, in extents of random length.
class HoleySource final : public BlockSource {
 public:
  HoleySource(Bytes content, uint32_t seed)
      : content_(std::move(content)), random_(seed) {}
  [[nodiscard]] uint64_t size() const override { return content_.size(); }
  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override {
    std::copy_n(content_.begin() + static_cast<ptrdiff_t>(offset),
                buffer.size(), buffer.begin());
    return absl::OkStatus();
  }
  [[nodiscard]] absl::StatusOr<Extent> ExtentAt(uint64_t offset) override {
    const bool zero = content_[offset] == 0;
    uint64_t end = offset + 1;
    const uint64_t limit = std::min<uint64_t>(
        content_.size(), offset + 1 + random_() % (3 * kMiB));
    while (end < limit && (content_[end] == 0) == zero) {
      ++end;
    }
    return Extent{.size = end - offset, .zero = zero};
  }

 private:
  const Bytes content_;
  std::mt19937 random_;
};

TEST(BlockTree, EqualsTheSlowTreeForEverySizeAndPlaceOfZeros) {
  const Bytes zeros(kMiB);
  const DigestBytes zero_leaf = merkle::LeafHash(HashAlgorithm::kSha256, zeros);
  for (uint64_t before = 0; before < 9; ++before) {
    for (uint64_t between = 0; between < 20; ++between) {
      BlockTree tree(HashAlgorithm::kSha256);
      std::vector<DigestBytes> leaves;
      for (uint64_t i = 0; i < before; ++i) {
        leaves.push_back(Hash(HashAlgorithm::kSha256, {}));
        tree.Add(leaves.back());
      }
      leaves.insert(leaves.end(), between, zero_leaf);
      tree.AddZeros(between);
      leaves.push_back(Hash(HashAlgorithm::kSha256, {}));
      tree.Add(leaves.back());
      EXPECT_EQ(tree.Root(),
                merkle::Tree(HashAlgorithm::kSha256, leaves).Root())
          << before << " " << between;
    }
  }
}

TEST(GuestDigest, OfNothingIsTheHashOfNothing) {
  MemoryBlockSource source{Bytes()};
  EXPECT_EQ(DigestOf(source), Hash(HashAlgorithm::kSha256, {}));
}

TEST(GuestDigest, IsTheDocumentedTreeForEveryAlgorithm) {
  Bytes content(3 * kMiB + 12345);
  for (size_t i = 0; i < content.size(); i += 4099) {
    content[i] = static_cast<uint8_t>(i);
  }
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    MemoryBlockSource source{content};
    EXPECT_EQ(DigestOf(source, algorithm), SlowDigest(algorithm, content));
  }
}

TEST(GuestDigest, DoesNotDependOnWhatIsKnownAboutHoles) {
  std::mt19937 random(1);
  for (uint32_t round = 0; round < 12; ++round) {
    Bytes content(random() % (12 * kMiB));
    for (int run = 0; run < 3 && !content.empty(); ++run) {
      const size_t begin = random() % content.size();
      const size_t end = std::min(content.size(), begin + random() % kMiB);
      std::fill(content.begin() + static_cast<ptrdiff_t>(begin),
                content.begin() + static_cast<ptrdiff_t>(end), uint8_t{7});
    }
    const DigestBytes expected = SlowDigest(HashAlgorithm::kBlake3, content);
    HoleySource holey(content, round);
    EXPECT_EQ(DigestOf(holey, HashAlgorithm::kBlake3), expected);
  }
}

TEST(GuestDigest, SkipsAPetabyteOfHoles) {
  class Endless final : public BlockSource {
   public:
    [[nodiscard]] uint64_t size() const override { return uint64_t{1} << 50; }
    [[nodiscard]] absl::Status ReadAt(uint64_t, std::span<uint8_t>) override {
      return absl::InternalError("read");
    }
    [[nodiscard]] absl::StatusOr<Extent> ExtentAt(uint64_t offset) override {
      return Extent{.size = size() - offset, .zero = true};
    }
  };
  Endless source;
  uint64_t reported = 0;
  EXPECT_THAT(GuestDigest(source, HashAlgorithm::kSha256, 2,
                          [&](uint64_t bytes) { reported += bytes; }),
              vmattest::testing::IsOk());
  EXPECT_EQ(reported, uint64_t{1} << 50);
}

// docs/formats/disk-inventory.md, "Worked example".
TEST(GuestDigest, IsThatOfTheDocumentedExample) {
  Bytes content(kMiB + 3);
  std::copy_n("abc", 3, content.end() - 3);
  MemoryBlockSource source{content};
  EXPECT_EQ(ToHex(DigestOf(source)),
            "5aa32196603ef0ad2c8ef6796b51fec7a0496e4d121e14120b0a4dd78705d0ef");
}

TEST(GuestDigest, IsTheSameOnAnyNumberOfThreads) {
  Bytes content(41 * kMiB + 3);
  for (size_t i = 0; i < content.size(); i += 997) {
    content[i] = static_cast<uint8_t>(i >> 8);
  }
  const DigestBytes expected = SlowDigest(HashAlgorithm::kSha256, content);
  for (const size_t threads : {0, 1, 2, 5}) {
    MemoryBlockSource source{content};
    ASSERT_OK_AND_ASSIGN(
        const DigestBytes digest,
        GuestDigest(source, HashAlgorithm::kSha256, threads, nullptr));
    EXPECT_EQ(digest, expected) << threads;
  }
}

TEST(GuestDigest, ReportsEveryByteOnce) {
  MemoryBlockSource source{Bytes(70 * kMiB + 5)};
  std::vector<uint64_t> reports;
  EXPECT_THAT(GuestDigest(source, HashAlgorithm::kSha256, 2,
                          [&](uint64_t bytes) { reports.push_back(bytes); }),
              vmattest::testing::IsOk());
  EXPECT_THAT(reports, ::testing::ElementsAre(64 * kMiB, 6 * kMiB + 5));
}

TEST(GuestDigest, PassesOnTheDisksError) {
  MemoryBlockSource source{Bytes(kMiB)};
  source.failure = absl::AbortedError("changed");
  EXPECT_THAT(GuestDigest(source, HashAlgorithm::kSha256, 2, nullptr),
              vmattest::testing::StatusIs(absl::StatusCode::kAborted));
}

TEST(GuestDigest, OfASparseRawFileEqualsThatOfAFullOne) {
  DiskImages images;
  const std::string sparse = images.MakeEmpty("sparse", 9 * kMiB + 512);
  DiskImages::WriteAt(sparse, 5 * kMiB + 77, "data");
  const std::string full = images.Path("full");
  DiskImages::Run({"cp", "--sparse=never", sparse, full});
  EXPECT_EQ(DigestOf(*OpenRaw(sparse)), DigestOf(*OpenRaw(full)));
}

// expected.tsv: format, and SHA-256 of the guest-visible bytes; "-" is none.
struct Expected {
  std::string file;
  std::string format;
  std::string sha256;
};
std::vector<Expected> ReadExpected(const std::filesystem::path& folder) {
  std::istringstream lines(vmattest::testing::Slurp(folder / "expected.tsv"));
  std::vector<Expected> all;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::vector<std::string> columns;
    for (std::string field; std::getline(fields, field, '\t');) {
      columns.push_back(field);
    }
    if (columns.size() > 9 && columns[9].size() == 64) {
      all.push_back({columns[0], columns[1], columns[9]});
    }
  }
  return all;
}

TEST(GuestDigest, OfImagesOfOtherProjectsIsThatOfTheirRawBytes) {
  VMATTEST_REQUIRE_VECTORS(folder, "disk-images");
  std::map<std::string, DigestBytes> by_content;
  size_t checked = 0;
  for (const Expected& expected : ReadExpected(folder)) {
    if (expected.format != "raw" && expected.format != "qcow2") {
      continue;
    }
    SCOPED_TRACE(expected.file);
    const std::string path = (folder / expected.file).string();
    std::unique_ptr<QemuNbd> server;
    std::unique_ptr<BlockSource> source;
    if (expected.format == "raw") {
      source = OpenRaw(path);
    } else {
      server = std::make_unique<QemuNbd>(path, "qcow2");
      source = server->Open();
    }
    EXPECT_EQ(Sha256Of(*source), expected.sha256);
    const DigestBytes digest = DigestOf(*source);
    const auto [known, added] = by_content.emplace(expected.sha256, digest);
    EXPECT_EQ(known->second, digest);
    ++checked;
  }
  EXPECT_GE(checked, 12u);
  EXPECT_LT(by_content.size(), checked);
}

}  // namespace
}  // namespace vmattest::disk
