#include "image/fs_verity.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <linux/magic.h>
#include <sys/statfs.h>

#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "fakes/inline_executor.h"
#include "fakes/manual_clock.h"
#include "gmock/gmock.h"
#include "image/digest_cache.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::image {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempDir;

// What Linux 6.1 answered on ext4 (fs_verity_guest_test runs such a kernel):
// `fsverity enable` on "hello\n" with the defaults.
constexpr char kHello[] =
    "9c76eecc7b76fcb46199cb27b90cf59a660e10575bb0412128905129d5b1c2aa";

// A kernel that answers what a test wants.
struct Said {
  int64_t magic = EXT4_SUPER_MAGIC;
  int flags_error = 0;
  unsigned flags = FS_VERITY_FL;
  int measure_error = 0;
  uint16_t algorithm = FS_VERITY_HASH_ALG_SHA256;
  uint16_t size = 32;
  std::string digest = kHello;
  int measured = 0;
};
Said said;

int AnswerIoctl(int /*fd*/, unsigned long request, void* argument) {
  if (request == FS_IOC_GETFLAGS) {
    errno = said.flags_error;
    *static_cast<unsigned*>(argument) = said.flags;
    return said.flags_error == 0 ? 0 : -1;
  }
  ++said.measured;
  auto* const answer = static_cast<fsverity_digest*>(argument);
  const Bytes bytes = *ParseHex(said.digest);
  if (said.measure_error != 0 || answer->digest_size < bytes.size()) {
    errno = said.measure_error != 0 ? said.measure_error : EOVERFLOW;
    return -1;
  }
  answer->digest_algorithm = said.algorithm;
  answer->digest_size = said.size;
  std::memcpy(static_cast<uint8_t*>(argument) + sizeof *answer, bytes.data(),
              bytes.size());
  return 0;
}

int AnswerStatfs(int /*fd*/, int64_t& magic) {
  magic = said.magic;
  return 0;
}

absl::StatusOr<std::optional<VerityDigest>> Measure() {
  return MeasureVerity(-1, "/img", {AnswerIoctl, AnswerStatfs});
}

class FsVerityTest : public ::testing::Test {
 protected:
  void SetUp() override { said = Said(); }
};

TEST_F(FsVerityTest, IsTheKernelsDigest) {
  ASSERT_OK_AND_ASSIGN(const auto digest, Measure());
  ASSERT_TRUE(digest);
  EXPECT_EQ(ToString(*digest), "sha256:" + said.digest);
}

TEST_F(FsVerityTest, KnowsSha512) {
  said.algorithm = FS_VERITY_HASH_ALG_SHA512;
  said.size = 64;
  said.digest = std::string(128, 'a');
  ASSERT_OK_AND_ASSIGN(const auto digest, Measure());
  ASSERT_TRUE(digest);
  EXPECT_EQ(ToString(*digest), "sha512:" + std::string(128, 'a'));
}

TEST_F(FsVerityTest, FileWithoutItHasNone) {
  said.flags = 0;
  EXPECT_EQ(*Measure(), std::nullopt);
  EXPECT_EQ(said.measured, 0);
}

TEST_F(FsVerityTest, FileSystemsAndKernelsWithoutItHaveNone) {
  for (const int error : {ENODATA, EOPNOTSUPP, ENOTTY, EINVAL, ENOSYS}) {
    said.measure_error = error;
    ASSERT_OK_AND_ASSIGN(const auto digest, Measure());
    EXPECT_EQ(digest, std::nullopt) << error;
  }
}

// FUSE passes the question on to whoever serves the file system.
TEST_F(FsVerityTest, S15_WordOfAForeignFileSystemIsNotTaken) {
  for (const int64_t magic :
       {int64_t{FUSE_SUPER_MAGIC}, int64_t{NFS_SUPER_MAGIC},
        int64_t{OVERLAYFS_SUPER_MAGIC}, int64_t{TMPFS_MAGIC}}) {
    said.magic = magic;
    EXPECT_EQ(*Measure(), std::nullopt);
  }
  EXPECT_EQ(said.measured, 0);
}

TEST_F(FsVerityTest, ErrorIsNoAbsence) {
  said.measure_error = EIO;
  EXPECT_THAT(Measure(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("/img")));
}

TEST_F(FsVerityTest, FileWithoutFlagsIsAskedAllTheSame) {
  said.flags_error = ENOTTY;
  EXPECT_TRUE(*Measure());
}

TEST_F(FsVerityTest, RefusesWhatNoKernelSays) {
  said.size = 20;
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kInternal));
  said.size = 32;
  said.algorithm = 77;
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kUnimplemented,
                                  HasSubstr("unknown algorithm 77")));
}

TEST(FsVerity, OrdinaryFileHasNone) {
  TempDir dir;
  const UniqueFd fd(open(dir.Write("f", "x").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(*MeasureVerity(fd.get(), "f"), std::nullopt);
}

// The cache, with files that carry a verity digest. Their times are those of
// now, somebody has them open for writing, and tmpfs would do.
class VerityCacheTest : public ::testing::Test {
 protected:
  VerityCacheTest()
      : clock_(SystemClock().Now().time_since_epoch().count()),
        cache_(clock_, {}) {}

  ContentFile File(const char* name, const std::string& verity) {
    const std::string path = dir_.Write(name, "0123456789").string();
    absl::StatusOr<ContentFile> file = OpenContent(path);
    EXPECT_THAT(file, testing::IsOk());
    file->verity = VerityDigest{"sha256", *ParseHex(verity)};
    return *std::move(file);
  }
  void Remember(const ContentFile& file) {
    const auto candidate = cache_.Begin(file, HashAlgorithm::kSha256);
    ASSERT_TRUE(candidate);
    cache_.Store(*candidate, file, digest_);
  }
  bool Knows(const ContentFile& file,
             HashAlgorithm algorithm = HashAlgorithm::kSha256) {
    return cache_.Find(file, algorithm).has_value();
  }

  const std::string one_ = std::string(64, '1');
  const std::string two_ = std::string(64, '2');
  TempDir dir_;
  testing::ManualClock clock_;
  DigestCache cache_;
  const ContentDigest digest_{.digest = DigestBytes(32, 7), .size = 10};
};

TEST_F(VerityCacheTest, S15_HitsWhateverTimesAndWriters) {
  const ContentFile file = File("a", one_);
  const UniqueFd writer(
      open((dir_.path() / "a").c_str(), O_WRONLY | O_CLOEXEC));
  Remember(file);
  ASSERT_EQ(utimensat(AT_FDCWD, (dir_.path() / "a").c_str(), nullptr, 0), 0);
  const auto found = cache_.Find(file, HashAlgorithm::kSha256);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->cached);
  EXPECT_EQ(found->digest, digest_.digest);
}

TEST_F(VerityCacheTest, S15_ACopyWithTheSameVerityDigestHits) {
  Remember(File("a", one_));
  EXPECT_TRUE(Knows(File("b", one_)));
}

TEST_F(VerityCacheTest, S15_MissesForAnotherVerityDigestSizeOrAlgorithm) {
  ContentFile file = File("a", one_);
  Remember(file);
  EXPECT_FALSE(Knows(File("b", two_)));
  EXPECT_FALSE(Knows(file, HashAlgorithm::kSha384));
  ++file.size;
  EXPECT_FALSE(Knows(file));
}

}  // namespace
}  // namespace vmattest::image
