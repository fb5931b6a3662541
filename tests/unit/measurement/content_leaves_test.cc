#include "measurement/content_leaves.h"

#include <atomic>
#include <map>

#include "base/executor.h"
#include "base/mutex.h"
#include "fakes/inline_executor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::InlineExecutor;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::StatusIs;
using testing::TempDir;

// Answers from a table; what is not in it does not exist.
class TableDigester final : public image::ContentDigester {
 public:
  absl::StatusOr<image::ContentDigest> Digest(const Request& request) override {
    const MutexLock lock(mutex_);
    ++calls_[request.path];
    if (request.cancelled && request.cancelled()) {
      return absl::CancelledError(request.path + ": cancelled");
    }
    const auto found = results_.find(request.path);
    if (found == results_.end()) {
      return absl::NotFoundError(request.path + ": no such file");
    }
    if (found->second.ok() && request.progress) {
      request.progress(found->second->size);
    }
    return found->second;
  }

  void Put(const std::string& path, absl::StatusOr<image::ContentDigest> d) {
    const MutexLock lock(mutex_);
    results_.insert_or_assign(path, std::move(d));
  }
  int calls(const std::string& path) {
    const MutexLock lock(mutex_);
    return calls_[path];
  }

 private:
  Mutex mutex_;
  std::map<std::string, absl::StatusOr<image::ContentDigest>> results_
      GUARDED_BY(mutex_);
  std::map<std::string, int> calls_ GUARDED_BY(mutex_);
};

image::ContentDigest Digest(uint8_t byte) {
  return {.digest = DigestBytes(32, byte), .size = 10};
}

class FullPool final : public Executor {
 public:
  absl::Status Submit(std::function<void()> /*task*/) override {
    return absl::ResourceExhaustedError("full");
  }
};

class DigestContentTest : public ::testing::Test {
 protected:
  DigestContentTest() {
    digester_.Put("/a", Digest(0xaa));
    digester_.Put("/b", Digest(0xbb));
  }
  absl::StatusOr<ContentLeaves> Run(const std::vector<ContentSource>& files,
                                    Executor* work = nullptr) {
    return DigestContent(files, digester_, work, options_);
  }

  TableDigester digester_;
  MeasureOptions options_;
};

TEST_F(DigestContentTest, LeafSaysAlgorithmAndDigest) {
  options_.algorithm = HashAlgorithm::kBlake3;
  ASSERT_OK_AND_ASSIGN(const ContentLeaves leaves,
                       Run({{"os/kernel/content", "/a"}}));
  EXPECT_EQ(LeafOf(leaves.leaves, "os/kernel/content"),
            "digest blake3:" + ToHex(DigestBytes(32, 0xaa)));
}

TEST_F(DigestContentTest, OneFileIsReadOnceForAllItsLeaves) {
  ASSERT_OK_AND_ASSIGN(const ContentLeaves leaves,
                       Run({{"x/content", "/a"}, {"y/content", "/a"}}));
  EXPECT_THAT(leaves.leaves, SizeIs(2));
  EXPECT_EQ(digester_.calls("/a"), 1);
}

TEST_F(DigestContentTest, AbsenceIsALeafOnlyWhereItMayBe) {
  ASSERT_OK_AND_ASSIGN(const ContentLeaves leaves,
                       Run({{"os/nvram/content", "/none", true}}));
  EXPECT_EQ(LeafOf(leaves.leaves, "os/nvram/content"), "unavailable absent");
  EXPECT_THAT(
      Run({{"os/kernel/content", "/none"}}),
      StatusIs(absl::StatusCode::kNotFound,
               AllOf(StartsWith("os/kernel/content: "), HasSubstr("/none"))));
}

TEST_F(DigestContentTest, AbsenceOfOneDoesNotStopTheOthers) {
  ASSERT_OK_AND_ASSIGN(const ContentLeaves leaves,
                       Run({{"n/content", "/a-none", true},
                            {"a/content", "/a"},
                            {"z/content", "/none", true},
                            {"b/content", "/b"}}));
  EXPECT_THAT(leaves.leaves, SizeIs(4));
}

TEST_F(DigestContentTest, UnreadableIsAnErrorEvenWhereAbsenceIsNot) {
  digester_.Put("/secret", absl::PermissionDeniedError("/secret: denied"));
  EXPECT_THAT(Run({{"os/nvram/content", "/secret", true}}),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       HasSubstr("os/nvram/content: /secret")));
}

TEST_F(DigestContentTest, S15_FsVerityIsALeafBesideTheContents) {
  image::ContentDigest sealed = Digest(0xcc);
  sealed.verity = image::VerityDigest{"sha512", DigestBytes(64, 0xdd)};
  digester_.Put("/c", sealed);
  ASSERT_OK_AND_ASSIGN(const ContentLeaves leaves,
                       Run({{"x/content", "/c"}, {"y/content", "/a"}}));
  EXPECT_THAT(leaves.leaves, SizeIs(3));
  EXPECT_EQ(LeafOf(leaves.leaves, "x/content"),
            "digest sha256:" + ToHex(DigestBytes(32, 0xcc)));
  EXPECT_EQ(LeafOf(leaves.leaves, "x/content/fs-verity"),
            "digest sha512:" + ToHex(DigestBytes(64, 0xdd)));
}

TEST_F(DigestContentTest, CachedContentIsListedWithItsTime) {
  image::ContentDigest cached = Digest(0xcc);
  cached.cached = true;
  cached.since_unix_ms = 42;
  digester_.Put("/c", cached);
  ASSERT_OK_AND_ASSIGN(const ContentLeaves leaves,
                       Run({{"a/content", "/a"}, {"c/content", "/c"}}));
  ASSERT_THAT(leaves.cached, SizeIs(1));
  EXPECT_EQ(leaves.cached[0].path, "c/content");
  EXPECT_EQ(leaves.cached[0].since_unix_ms, 42);
}

TEST_F(DigestContentTest, FullPoolLeavesTheWorkToTheCaller) {
  FullPool full;
  ASSERT_OK_AND_ASSIGN(const ContentLeaves leaves,
                       Run({{"a/content", "/a"}, {"b/content", "/b"}}, &full));
  EXPECT_THAT(leaves.leaves, SizeIs(2));
}

TEST_F(DigestContentTest, PoolGivesTheSameLeavesAsTheCallerAlone) {
  std::vector<ContentSource> files;
  for (int i = 0; i < 50; ++i) {
    const std::string path = "/file" + std::to_string(i);
    digester_.Put(path, Digest(static_cast<uint8_t>(i)));
    files.push_back({path + "/content", path});
  }
  ThreadPool pool("work", 4, 64);
  InlineExecutor inline_executor;
  ASSERT_OK_AND_ASSIGN(const ContentLeaves alone, Run(files));
  ASSERT_OK_AND_ASSIGN(const ContentLeaves pooled, Run(files, &pool));
  ASSERT_OK_AND_ASSIGN(const ContentLeaves inlined,
                       Run(files, &inline_executor));
  EXPECT_EQ(alone.leaves, pooled.leaves);
  EXPECT_EQ(alone.leaves, inlined.leaves);
}

TEST_F(DigestContentTest, MayRunOnItsOwnPool) {
  ThreadPool pool("work", 1, 8);
  absl::Status status = absl::UnknownError("not run");
  Mutex mutex;
  CondVar changed;
  bool done = false;
  ASSERT_THAT(pool.Submit([&] {
    status = Run({{"a/content", "/a"}, {"b/content", "/b"}}, &pool).status();
    const MutexLock lock(mutex);
    done = true;
    changed.NotifyAll();
  }),
              IsOk());
  {
    const MutexLock lock(mutex);
    while (!done) {
      changed.Wait(mutex);
    }
  }
  EXPECT_THAT(status, IsOk());
}

TEST_F(DigestContentTest, CancellingStops) {
  options_.cancelled = [] { return true; };
  EXPECT_THAT(Run({{"a/content", "/a"}}),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("a/content")));
}

TEST_F(DigestContentTest, ErrorIsNotHiddenByWhatItCancelled) {
  digester_.Put("/changing", absl::AbortedError("/changing: changed"));
  ThreadPool pool("work", 4, 64);
  std::vector<ContentSource> files;
  for (int i = 0; i < 20; ++i) {
    files.push_back({"x" + std::to_string(i) + "/content", "/a"});
  }
  files.push_back({"z/content", "/changing"});
  EXPECT_THAT(Run(files, &pool),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("/changing")));
}

TEST_F(DigestContentTest, ProgressRisesToTheSumOfSizes) {
  TempDir dir;
  std::vector<ContentSource> files;
  for (const char* name : {"one", "two"}) {
    const std::string path = dir.Write(name, std::string(10, 'x'));
    digester_.Put(path, Digest(1));
    files.push_back({std::string(name) + "/content", path});
  }
  uint64_t last = 0;
  uint64_t total = 0;
  options_.progress = [&](uint64_t done, uint64_t of) {
    EXPECT_GE(done, last);
    last = done;
    total = of;
  };
  ASSERT_THAT(Run(files), IsOk());
  EXPECT_EQ(total, 20U);
  EXPECT_EQ(last, total);
}

TEST_F(DigestContentTest, NothingToReadIsNoLeaf) {
  ASSERT_OK_AND_ASSIGN(const ContentLeaves leaves, Run({}));
  EXPECT_THAT(leaves.leaves, IsEmpty());
}

}  // namespace
}  // namespace vmattest::measurement
