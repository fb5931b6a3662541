#include "image/digest_cache.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "crypto/digest.h"
#include "fakes/inline_executor.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "image/file_digester.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::image {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using vmattest::testing::IsOk;
using vmattest::testing::TempDir;

int64_t RealNowMs() { return SystemClock().Now().time_since_epoch().count(); }

bool CacheableHere(const fs::path& folder) {
  struct statfs info = {};
  return statfs(folder.c_str(), &info) == 0 &&
         IsCacheableFileSystem(info.f_type);
}

// Whatever is written here looks ten seconds old.
class DigestCacheTest : public ::testing::Test {
 protected:
  DigestCacheTest()
      : clock_(RealNowMs() + 10'000),
        cache_(clock_, {}),
        digester_(clock_, executor_, cache_, 1),
        path_(dir_.Write("image", std::string(5000, 'a')).string()) {}

  void SetUp() override {
    if (!CacheableHere(dir_.path())) {
      GTEST_SKIP() << "the temporary folder is on no file system of the "
                      "allow-list: set TMPDIR";
    }
  }

  ContentDigest Digest(bool fresh = false) {
    ContentDigester::Request request;
    request.path = path_;
    request.fresh = fresh;
    absl::StatusOr<ContentDigest> digest = digester_.Digest(request);
    EXPECT_THAT(digest, IsOk());
    return digest.ok() ? *digest : ContentDigest{};
  }
  // That a digest now is read, right, and not from the cache.
  void ExpectRead() {
    std::ifstream stream(path_, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(stream), {}};
    stream.close();
    const ContentDigest digest = Digest();
    EXPECT_FALSE(digest.cached);
    EXPECT_EQ(digest.digest, Hash(HashAlgorithm::kSha256, AsBytes(content)));
  }
  [[nodiscard]] struct stat Stat() const {
    struct stat info = {};
    EXPECT_EQ(stat(path_.c_str(), &info), 0);
    return info;
  }
  // The kernel's timestamps move in ticks; tests are faster than one.
  void UntilCtimeMoves(const std::function<void()>& change) {
    const timespec before = Stat().st_ctim;
    timespec now = before;
    while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec) {
      change();
      now = Stat().st_ctim;
    }
  }
  void Overwrite(char fill) {
    const UniqueFd fd(open(path_.c_str(), O_WRONLY));
    const std::string content(5000, fill);
    ASSERT_EQ(write(fd.get(), content.data(), content.size()), 5000);
  }

  TempDir dir_;
  vmattest::testing::ManualClock clock_;
  vmattest::testing::InlineExecutor executor_;
  DigestCache cache_;
  FileDigester digester_;
  std::string path_;
};

TEST_F(DigestCacheTest, AnswersForAFileThatDidNotChange) {
  const ContentDigest first = Digest();
  EXPECT_FALSE(first.cached);
  clock_.Advance(1h);
  const ContentDigest second = Digest();
  EXPECT_TRUE(second.cached);
  EXPECT_EQ(second.digest, first.digest);
  EXPECT_EQ(second.since_unix_ms, first.since_unix_ms);
  EXPECT_EQ(cache_.counters().entries, 1u);
  EXPECT_EQ(cache_.counters().hits, 1u);
  EXPECT_EQ(cache_.counters().misses, 1u);
}

TEST_F(DigestCacheTest, KeepsAlgorithmsApart) {
  Digest();
  ContentDigester::Request request;
  request.path = path_;
  request.algorithm = HashAlgorithm::kSha384;
  ASSERT_OK_AND_ASSIGN(const ContentDigest other, digester_.Digest(request));
  EXPECT_FALSE(other.cached);
  EXPECT_EQ(other.digest.size(), 48u);
}

TEST_F(DigestCacheTest, S14_ChangedContentOfTheSameSizeIsReadAgain) {
  Digest();
  UntilCtimeMoves([this] { Overwrite('b'); });
  ExpectRead();
}

TEST_F(DigestCacheTest, S14_RestoredMtimeDoesNotHideAChange) {
  Digest();
  const struct stat before = Stat();
  const timespec times[] = {before.st_atim, before.st_mtim};
  UntilCtimeMoves([this, &times] {
    Overwrite('b');
    ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  });
  EXPECT_EQ(Stat().st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(Stat().st_size, before.st_size);
  ExpectRead();
}

TEST_F(DigestCacheTest, S14_ReplacedFileIsReadAgain) {
  Digest();
  const std::string other = dir_.Write("other", std::string(5000, 'b'));
  fs::rename(other, path_);
  ExpectRead();
}

TEST_F(DigestCacheTest, S14_FileRestoredByLinkIsStillTheSameFile) {
  Digest();
  fs::rename(path_, path_ + ".away");
  dir_.Write("image", std::string(5000, 'b'));
  ExpectRead();
}

class FreshFileTest : public DigestCacheTest {};

TEST_F(FreshFileTest, S14_FileChangedLessThanTwoSecondsAgoIsNotCached) {
  const timespec ctime = Stat().st_ctim;
  const int64_t ctime_ms = ctime.tv_sec * 1000 + ctime.tv_nsec / 1'000'000;
  const auto entries_at = [this](int64_t unix_ms) {
    const vmattest::testing::ManualClock clock(unix_ms);
    DigestCache cache(clock, {});
    FileDigester digester(clock, executor_, cache, 1);
    ContentDigester::Request request;
    request.path = path_;
    EXPECT_THAT(digester.Digest(request), IsOk());
    return cache.counters().entries;
  };
  EXPECT_EQ(entries_at(ctime_ms + 1999), 0u);
  EXPECT_EQ(entries_at(ctime_ms + 2001), 1u);
  // A clock behind the file's time proves nothing.
  EXPECT_EQ(entries_at(ctime_ms - 1), 0u);
}

TEST_F(DigestCacheTest, S14_FileWithAWriterIsNotCached) {
  const UniqueFd writer(open(path_.c_str(), O_WRONLY));
  ASSERT_TRUE(writer.valid());
  EXPECT_FALSE(Digest().cached);
  EXPECT_EQ(cache_.counters().entries, 0u);
}

TEST_F(DigestCacheTest, S14_WriterThatCameLaterPreventsAHit) {
  Digest();
  UniqueFd writer(open(path_.c_str(), O_RDWR));
  ASSERT_TRUE(writer.valid());
  EXPECT_FALSE(Digest().cached);
  writer.Reset();
  EXPECT_TRUE(Digest().cached);
}

TEST_F(DigestCacheTest, S14_WriterThatComesWhileHashingPreventsAnEntry) {
  UniqueFd writer;
  ContentDigester::Request request;
  request.path = path_;
  request.progress = [this, &writer](uint64_t) {
    writer = UniqueFd(open(path_.c_str(), O_WRONLY));
  };
  ASSERT_THAT(digester_.Digest(request), IsOk());
  EXPECT_EQ(cache_.counters().entries, 0u);
}

// The descriptor is closed, the mapping can still be stored through; only the
// first store after a write-back moves ctime.
TEST_F(DigestCacheTest, S14_FileMappedForWritingIsNotCached) {
  UniqueFd writer(open(path_.c_str(), O_RDWR));
  void* mapped =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  writer.Reset();
  static_cast<volatile char*>(mapped)[0] = 'b';
  EXPECT_FALSE(Digest().cached);
  EXPECT_EQ(cache_.counters().entries, 0u);
  static_cast<volatile char*>(mapped)[1] = 'b';
  munmap(mapped, 4096);
  ExpectRead();
  EXPECT_EQ(cache_.counters().entries, 1u);
}

TEST_F(DigestCacheTest, S14_StoreThroughALaterMappingIsSeen) {
  Digest();
  UntilCtimeMoves([this] {
    const UniqueFd writer(open(path_.c_str(), O_RDWR));
    void* mapped = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
                        writer.get(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
    volatile char* first = static_cast<volatile char*>(mapped);
    first[0] =
        static_cast<char>(first[0] + 1);  // read first: the page is there
    munmap(mapped, 4096);
  });
  ExpectRead();
}

// Why tmpfs is not on the list: the same store moves nothing there.
TEST(DigestCacheFileSystems, S14_TmpfsIsNeverCached) {
  struct statfs info = {};
  if (statfs("/dev/shm", &info) != 0 || info.f_type != TMPFS_MAGIC) {
    GTEST_SKIP() << "/dev/shm is no tmpfs";
  }
  const std::string path =
      fmt::format("/dev/shm/vmattest-digest-cache-test.{}", getpid());
  std::ofstream(path) << "content";
  const vmattest::testing::ManualClock clock(RealNowMs() + 10'000);
  DigestCache cache(clock, {});
  vmattest::testing::InlineExecutor executor;
  FileDigester digester(clock, executor, cache, 1);
  ContentDigester::Request request;
  request.path = path;
  EXPECT_THAT(digester.Digest(request), IsOk());
  fs::remove(path);
  EXPECT_EQ(cache.counters().entries, 0u);
}

TEST(DigestCacheFileSystems, S14_OnlyListedFileSystemsAreCached) {
  for (const int64_t magic : {int64_t{EXT4_SUPER_MAGIC}, int64_t{0x58465342},
                              int64_t{BTRFS_SUPER_MAGIC}}) {
    EXPECT_TRUE(IsCacheableFileSystem(magic)) << magic;
  }
  for (const int64_t magic :
       {int64_t{NFS_SUPER_MAGIC}, int64_t{FUSE_SUPER_MAGIC},
        int64_t{CIFS_SUPER_MAGIC}, int64_t{SMB2_SUPER_MAGIC},
        int64_t{V9FS_MAGIC}, int64_t{OVERLAYFS_SUPER_MAGIC},
        int64_t{TMPFS_MAGIC}, int64_t{CEPH_SUPER_MAGIC},
        int64_t{PROC_SUPER_MAGIC}, int64_t{0}}) {
    EXPECT_FALSE(IsCacheableFileSystem(magic)) << magic;
  }
}

// The lease that looks for writers would be broken with SIGIO, which ends a
// process that does not expect it.
TEST_F(DigestCacheTest, OpeningForWritingDuringALookUpHurtsNobody) {
  Digest();
  std::atomic<bool> stop = false;
  std::thread writer([this, &stop] {
    while (!stop) {
      const UniqueFd fd(open(path_.c_str(), O_WRONLY));
      EXPECT_TRUE(fd.valid());
    }
  });
  const DigestBytes expected =
      Hash(HashAlgorithm::kSha256, AsBytes(std::string(5000, 'a')));
  for (int i = 0; i < 2000; ++i) {
    EXPECT_EQ(Digest().digest, expected);
  }
  stop = true;
  writer.join();
}

TEST_F(DigestCacheTest, LetsAWriterInAtOnceAfterALookUp) {
  Digest();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) {
    Digest();
    const UniqueFd fd(open(path_.c_str(), O_WRONLY | O_NONBLOCK));
    EXPECT_TRUE(fd.valid());
  }
  // A lease left behind would hold each writer for 45 s.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
}

TEST_F(DigestCacheTest, FreshRequestsAreReadAndRenewTheEntry) {
  Digest();
  clock_.Advance(5s);
  const ContentDigest fresh = Digest(/*fresh=*/true);
  EXPECT_FALSE(fresh.cached);
  const ContentDigest known = Digest();
  EXPECT_TRUE(known.cached);
  EXPECT_EQ(known.since_unix_ms, fresh.since_unix_ms);
  EXPECT_EQ(cache_.counters().entries, 1u);
}

TEST_F(DigestCacheTest, FlushForgetsEverything) {
  Digest();
  cache_.Flush();
  EXPECT_EQ(cache_.counters().entries, 0u);
  EXPECT_FALSE(Digest().cached);
}

TEST_F(DigestCacheTest, SwitchedOffItKnowsNothing) {
  DigestCache off(clock_, {.enabled = false});
  FileDigester digester(clock_, executor_, off, 1);
  ContentDigester::Request request;
  request.path = path_;
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(const ContentDigest digest, digester.Digest(request));
    EXPECT_FALSE(digest.cached);
  }
  EXPECT_EQ(off.counters().entries, 0u);
}

TEST_F(DigestCacheTest, DropsTheLeastRecentlyUsed) {
  DigestCache small(clock_, {.enabled = true, .max_entries = 2});
  FileDigester digester(clock_, executor_, small, 1);
  const auto cached = [this, &digester](const std::string& name) {
    ContentDigester::Request request;
    request.path = (dir_.path() / name).string();
    return digester.Digest(request).value().cached;
  };
  for (const char* name : {"a", "b", "c"}) {
    dir_.Write(name, name);
  }
  EXPECT_FALSE(cached("a"));
  EXPECT_FALSE(cached("b"));
  EXPECT_TRUE(cached("a"));
  EXPECT_FALSE(cached("c"));
  EXPECT_TRUE(cached("a"));
  EXPECT_FALSE(cached("b"));
  EXPECT_EQ(small.counters().entries, 2u);
}

}  // namespace
}  // namespace vmattest::image
