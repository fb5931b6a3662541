#include "image/file_digester.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "crypto/digest.h"
#include "fakes/inline_executor.h"
#include "fakes/manual_clock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/vectors.h"

namespace vmattest::image {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

constexpr size_t kMiB = size_t{1} << 20;

class FileDigesterTest : public ::testing::Test {
 protected:
  FileDigesterTest()
      : cache_(clock_, {.enabled = false}),
        pool_("hash", 3, 64),
        digester_(clock_, pool_, cache_, 4) {}

  std::string Write(const std::string& name, ByteView content) {
    return dir_.Write(name, AsText(content)).string();
  }
  absl::StatusOr<ContentDigest> Digest(
      const std::string& path,
      HashAlgorithm algorithm = HashAlgorithm::kBlake3) {
    ContentDigester::Request request;
    request.path = path;
    request.algorithm = algorithm;
    return digester_.Digest(request);
  }

  TempDir dir_;
  vmattest::testing::ManualClock clock_;
  DigestCache cache_;
  ThreadPool pool_;
  FileDigester digester_;
};

class AlgorithmAndSize
    : public FileDigesterTest,
      public ::testing::WithParamInterface<std::tuple<HashAlgorithm, size_t>> {
};
INSTANTIATE_TEST_SUITE_P(
    FileDigester, AlgorithmAndSize,
    ::testing::Combine(::testing::ValuesIn(kAllHashAlgorithms),
                       ::testing::Values(0, 1, 1024, 262'144, 262'145, kMiB,
                                         kMiB + 1, 3 * kMiB + 511)));

TEST_P(AlgorithmAndSize, HasTheDigestOfItsBytes) {
  const auto [algorithm, size] = GetParam();
  const Bytes content = RandomBytes(size);
  const std::string path = Write("image", content);
  const DigestBytes expected = Hash(algorithm, content);
  ASSERT_OK_AND_ASSIGN(const ContentDigest digest, Digest(path, algorithm));
  EXPECT_EQ(digest.digest, expected);
  EXPECT_EQ(digest.size, size);
  EXPECT_FALSE(digest.cached);
  EXPECT_EQ(digest.since_unix_ms, clock_.Now().time_since_epoch().count());

  vmattest::testing::InlineExecutor inline_executor;
  FileDigester alone(clock_, inline_executor, cache_, 1);
  ContentDigester::Request request;
  request.path = path;
  request.algorithm = algorithm;
  ASSERT_OK_AND_ASSIGN(const ContentDigest again, alone.Digest(request));
  EXPECT_EQ(again.digest, expected);
}

TEST_F(FileDigesterTest, WorksWhenTheExecutorRefuses) {
  ThreadPool stopped("hash", 1, 1);
  stopped.Shutdown();
  FileDigester digester(clock_, stopped, cache_, 4);
  const Bytes content = RandomBytes(5 * kMiB + 3);
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    ContentDigester::Request request;
    request.path = Write("image", content);
    request.algorithm = algorithm;
    ASSERT_OK_AND_ASSIGN(const ContentDigest digest, digester.Digest(request));
    EXPECT_EQ(digest.digest, Hash(algorithm, content));
  }
}

class Sparse : public FileDigesterTest,
               public ::testing::WithParamInterface<HashAlgorithm> {};
INSTANTIATE_TEST_SUITE_P(FileDigester, Sparse,
                         ::testing::ValuesIn(kAllHashAlgorithms));

TEST_P(Sparse, CountsHolesAsTheZerosTheyReadAs) {
  Bytes content(9 * kMiB + 77, 0);
  const std::string path = Write("sparse", {});
  const UniqueFd fd(open(path.c_str(), O_WRONLY));
  ASSERT_EQ(ftruncate(fd.get(), static_cast<off_t>(content.size())), 0);
  for (const size_t at : {size_t{0}, 2 * kMiB - 4096, 5 * kMiB + 8192}) {
    const Bytes data = RandomBytes(4096);
    std::copy(data.begin(), data.end(),
              content.begin() + static_cast<ptrdiff_t>(at));
    ASSERT_EQ(
        pwrite(fd.get(), data.data(), data.size(), static_cast<off_t>(at)),
        4096);
  }
  ASSERT_OK_AND_ASSIGN(const ContentDigest sparse, Digest(path, GetParam()));
  EXPECT_EQ(sparse.digest, Hash(GetParam(), content));
  ASSERT_EQ(ftruncate(fd.get(), 0), 0);
  ASSERT_EQ(ftruncate(fd.get(), 3 * kMiB), 0);
  ASSERT_OK_AND_ASSIGN(const ContentDigest hole, Digest(path, GetParam()));
  EXPECT_EQ(hole.digest, Hash(GetParam(), Bytes(3 * kMiB, 0)));
}

// More than one group of 1,024 blocks, whose values are folded early.
TEST_F(FileDigesterTest, DigestsMoreThanAGibibyte) {
  const std::string path = Write("sparse", {});
  constexpr size_t kSize = 1025 * kMiB + 12'345;
  ASSERT_EQ(truncate(path.c_str(), kSize), 0);
  Hasher expected(HashAlgorithm::kBlake3);
  const Bytes zeros(kMiB, 0);
  for (size_t left = kSize; left > 0;) {
    const size_t now = std::min(left, zeros.size());
    expected.Update(ByteView(zeros).first(now));
    left -= now;
  }
  ASSERT_OK_AND_ASSIGN(const ContentDigest digest, Digest(path));
  EXPECT_EQ(digest.digest, expected.Finish());
}

TEST_F(FileDigesterTest, FollowsLinks) {
  const Bytes content = RandomBytes(1000);
  Write("target", content);
  fs::create_symlink(dir_.path() / "target", dir_.path() / "link");
  ASSERT_OK_AND_ASSIGN(const ContentDigest digest,
                       Digest((dir_.path() / "link").string()));
  EXPECT_EQ(digest.digest, Hash(HashAlgorithm::kBlake3, content));
}

TEST_F(FileDigesterTest, RefusesByNameWhatIsNoContent) {
  const std::string fifo = (dir_.path() / "fifo").string();
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string name = (dir_.path() / "socket").string();
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof address),
            0);
  const std::pair<std::string, const char*> cases[] = {
      {dir_.path().string(), "a folder"},
      {fifo, "a FIFO"},
      {name, "a socket"},
      {"/dev/zero", "a character device"}};
  for (const auto& [path, kind] : cases) {
    EXPECT_THAT(Digest(path), StatusIs(absl::StatusCode::kInvalidArgument,
                                       HasSubstr(path + ": is " + kind)));
  }
}

TEST_F(FileDigesterTest, NamesAFileThatIsNotThere) {
  const std::string path = (dir_.path() / "missing").string();
  EXPECT_THAT(Digest(path),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
}

// proc's files say that they are empty and are not.
TEST_F(FileDigesterTest, RefusesContentBeyondTheSize) {
  EXPECT_THAT(Digest("/proc/self/status"),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("more than")));
}

TEST_F(FileDigesterTest, ReportsEveryByteAsProgress) {
  const std::string path = Write("image", RandomBytes(4 * kMiB + 9));
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    std::atomic<uint64_t> done = 0;
    ContentDigester::Request request;
    request.path = path;
    request.algorithm = algorithm;
    request.progress = [&done](uint64_t bytes) { done += bytes; };
    ASSERT_THAT(digester_.Digest(request), IsOk());
    EXPECT_EQ(done, 4 * kMiB + 9);
  }
}

TEST_F(FileDigesterTest, StopsWhenItIsCancelled) {
  const std::string path = Write("image", RandomBytes(8 * kMiB));
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    std::atomic<uint64_t> done = 0;
    ContentDigester::Request request;
    request.path = path;
    request.algorithm = algorithm;
    request.progress = [&done](uint64_t bytes) { done += bytes; };
    request.cancelled = [&done] { return done >= kMiB; };
    EXPECT_THAT(digester_.Digest(request),
                StatusIs(absl::StatusCode::kCancelled, HasSubstr(path)));
    EXPECT_LT(done, 8 * kMiB);
  }
}

// What happens to the file in the middle of its digest.
struct Disturbance {
  const char* reason;
  void (*disturb)(const fs::path& path);
};

void Append(const fs::path& path) {
  std::ofstream(path, std::ios::app) << "more";
}
void Shorten(const fs::path& path) { fs::resize_file(path, kMiB); }
// The kernel's timestamps move in ticks; a test may be faster than one.
void Overwrite(const fs::path& path) {
  struct stat before = {};
  struct stat now = {};
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  do {
    std::fstream file(path, std::ios::in | std::ios::out);
    file.seekp(5);
    file << "x" << std::flush;
    ASSERT_EQ(stat(path.c_str(), &now), 0);
  } while (now.st_ctim.tv_sec == before.st_ctim.tv_sec &&
           now.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
}
void Replace(const fs::path& path) {
  const fs::path other = path.string() + ".new";
  fs::copy(path, other);
  fs::rename(other, path);
}
void Remove(const fs::path& path) { fs::remove(path); }

class Disturbed : public FileDigesterTest,
                  public ::testing::WithParamInterface<
                      std::tuple<HashAlgorithm, Disturbance>> {};
INSTANTIATE_TEST_SUITE_P(
    FileDigester, Disturbed,
    ::testing::Combine(
        ::testing::Values(HashAlgorithm::kSha256, HashAlgorithm::kBlake3),
        ::testing::Values(Disturbance{"", Append}, Disturbance{"", Shorten},
                          Disturbance{"", Overwrite},
                          Disturbance{"another file", Replace},
                          Disturbance{"", Remove})));

TEST_P(Disturbed, IsAbortedNamingThePath) {
  const auto& [algorithm, disturbance] = GetParam();
  const std::string path = Write("image", RandomBytes(32 * kMiB));
  std::atomic<bool> first = true;
  ContentDigester::Request request;
  request.path = path;
  request.algorithm = algorithm;
  void (*const disturb)(const fs::path&) = disturbance.disturb;
  request.progress = [&first, &path, disturb](uint64_t) {
    if (first.exchange(false)) {
      disturb(path);
    }
  };
  EXPECT_THAT(digester_.Digest(request),
              StatusIs(absl::StatusCode::kAborted, HasSubstr(path)));
}

TEST_F(FileDigesterTest, ServesManyRequestsAtOnce) {
  const Bytes content = RandomBytes(6 * kMiB + 1);
  const std::string path = Write("image", content);
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([this, algorithm, &content, &path, &right] {
        const absl::StatusOr<ContentDigest> digest = Digest(path, algorithm);
        right += digest.ok() && digest->digest == Hash(algorithm, content);
      });
    }
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(right, 10);
}

TEST(FileDigesterVectors, DigestTheRawPayload) {
  VMATTEST_REQUIRE_VECTORS(folder, "disk-images");
  vmattest::testing::ManualClock clock;
  vmattest::testing::InlineExecutor executor;
  DigestCache cache(clock, {.enabled = false});
  FileDigester digester(clock, executor, cache);
  ContentDigester::Request request;
  request.path = (folder / "made-with-qemu-img/payload.raw").string();
  ASSERT_OK_AND_ASSIGN(const ContentDigest digest, digester.Digest(request));
  EXPECT_EQ(ToHex(digest.digest),
            "274cc137b85be86273c4dd027f8ee15e9e7f4a62c97ed9d60d0f56fd2c6c3015");
}

}  // namespace
}  // namespace vmattest::image
